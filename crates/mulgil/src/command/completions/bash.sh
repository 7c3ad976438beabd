# Completion of mulgil for bash 4 or newer. In ~/.bashrc: source <(mulgil completions bash)
_mulgil() {
    local -a answer
    mapfile -t answer < <("$1" complete bash --breaks "$COMP_WORDBREAKS" -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    COMPREPLY=("${answer[@]:1}")
    case "${answer[0]}" in
        open) compopt -o nospace ;;
        files) compopt -o default ;;
        folders) compopt -o dirnames ;;
    esac
}
complete -F _mulgil mulgil
