# A PostgreSQL server of one test process: made in the folder $1 with the programs in $2, gone with its
# files as soon as nobody holds this script's standard input any more, however that came about. $3 are
# further settings; $4 is a folder of the build in which a fresh database is kept to be copied. Each line read is a thing to do, each line written says that it is done.
set -u
dir=$1 bin=$2 settings=$3 kept=$4/$("$2/postgres" --version | tr -c "a-zA-Z0-9.\n" "_")

# The server refuses to be run by root.
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=$(id -u nobody) --regid=$(id -g nobody) --clear-groups"
    own="chown -R nobody"
else
    as= own=:
fi

control() {
    $as "$bin/pg_ctl" --pgdata="$dir/data" --wait --silent "$@" >>"$dir/log" 2>&1 </dev/null
}

start() {
    control --log="$dir/log" --options="-k $dir -c listen_addresses= -c autovacuum=off $settings" start
}

# The server and all that it has started.
processes() {
    server=$(head -n 1 "$dir/data/postmaster.pid")
    echo "$server" $(ps -o pid= --ppid "$server")
}

# As when the machine dies. The number of a process that nobody has asked for its end is still taken, so
# the files that name it are removed as well.
end() {
    killed=$(processes)
    kill -KILL $killed
    while ps -o stat= -p "$(echo $killed | tr " " ,)" | grep -q "^[^Z]"; do :; done
    rm -f "$dir/data/postmaster.pid" "$dir"/.s.PGSQL.*
}

make() {
    if [ ! -d "$kept" ]; then
        $as "$bin/initdb" --pgdata="$dir/data" --username=mulgil --auth=trust --encoding=UTF8 --locale=C \
            --no-sync --no-instructions --wal-segsize=1 >>"$dir/log" 2>&1 </dev/null || return 1
        # Whoever else makes it at this moment has made the same.
        cp -R "$dir/data" "$kept.$$" && mv -T "$kept.$$" "$kept" 2>/dev/null || rm -rf "$kept.$$"
        return 0
    fi
    cp -R "$kept" "$dir/data" && $own "$dir/data" && chmod 700 "$dir/data"
}

: >"$dir/log"
$own "$dir"
make && start
echo "started $?"

while read -r word; do
    case $word in
    start) start ;;
    stop) control --mode=immediate stop ;;
    kill) end ;;
    pause) kill -STOP $(processes) ;;
    resume) kill -CONT $(processes) ;;
    esac
    echo "$word $?"
done 2>>"$dir/log"

kill -CONT $(processes) 2>/dev/null
control --mode=immediate stop
rm -rf "$dir"
