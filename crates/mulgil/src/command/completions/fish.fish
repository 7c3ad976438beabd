# Completion of mulgil for fish. In ~/.config/fish/config.fish: mulgil completions fish | source
function __mulgil_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ($words[1] complete fish -- $words 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
        case '*'
            printf '%s\n' $answer[2..-1]
    end
end
complete -c mulgil -f -a '(__mulgil_complete)'
