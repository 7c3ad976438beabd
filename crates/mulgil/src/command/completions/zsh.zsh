#compdef mulgil
# Completion of mulgil for zsh. In ~/.zshrc, after compinit: source <(mulgil completions zsh)
_mulgil() {
    local -a answer
    answer=("${(@f)$("${words[1]}" complete zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    case "${answer[1]}" in
        open) compadd -S '' -- "${(@)answer[2,-1]}" ;;
        files) _files ;;
        folders) _files -/ ;;
        closed) compadd -- "${(@)answer[2,-1]}" ;;
    esac
}
if [ "${funcstack[1]}" = "_mulgil" ]; then
    _mulgil "$@"
else
    compdef _mulgil mulgil
fi
