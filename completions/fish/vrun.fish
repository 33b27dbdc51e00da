# SPDX-License-Identifier: Apache-2.0
#
# fish completion for vrun. Commands, verbs and options are what the program's own help says, so they
# are those of the version that is installed; ids are those of the sandboxes that run.

function __vrun_program
    set -l words (commandline -opc)
    echo $words[1]
end

# The command, or nothing before there is one.
function __vrun_command
    set -l words (commandline -opc)
    test (count $words) -gt 1; and echo $words[2]
end

function __vrun_commands
    set -l program (__vrun_program)
    $program --help 2>/dev/null | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { name = $1; $1 = ""; sub(/^ /, ""); print name "\t" $0 }'
end

function __vrun_verbs
    set -l program (__vrun_program)
    $program policy --help 2>/dev/null | awk '/^$/ { n++ } n == 1 && /^  [a-z]/ { name = $1; sub(/^  [^ ]+ ([^ ]+ )* +/, ""); print name "\t" $0 }'
end

function __vrun_options
    set -l program (__vrun_program)
    set -l command (__vrun_command)
    $program $command --help 2>/dev/null | awk '/^ +-/ {
        sub(/^ +/, "")
        text = $0
        if (!sub(/.*  +/, "", text))
            text = ""
        sub(/  .*/, "")
        n = split($0, word, /[ ,=\[]+/)
        for (i = 1; i <= n; i++)
            if (word[i] ~ /^--?[a-zA-Z]/)
                print word[i] "\t" text
    }'
end

function __vrun_ids
    set -l program (__vrun_program)
    $program ps -q 2>/dev/null
end

function __vrun_fabrics
    set -l program (__vrun_program)
    $program ps --json 2>/dev/null | sed -n 's/.*"fabric": *"\([^"]*\)".*/\1/p' | sort -u
end

# Policies and directories; fish's own function for endings offers other files, too.
function __vrun_policies
    set -l start (commandline -ct)
    for file in $start*/ $start*.json
        echo $file
    end
end

# The word before is an option with such a value.
function __vrun_value_of
    set -l words (commandline -opc)
    contains -- $words[-1] $argv
end

# No command yet; the n-th word is being written; behind "--" the command that is to be run is.
function __vrun_at
    test (count (commandline -opc)) -eq $argv[1]
end

function __vrun_foreign
    set -l words (commandline -opc)
    contains -- -- $words
end

function __vrun_is
    not __vrun_foreign; and contains -- (__vrun_command) $argv
end

function __vrun_verb_is
    set -l words (commandline -opc)
    test (count $words) -gt 2; and test $words[2] = policy; and contains -- $words[3] $argv
end

set -l files '-p --policy --ceiling --with --base'
set -l values "$files --fabric --root --rw --ro --cwd --publish --record --record-max --tls --type --proto --env -o --output --log --pid-file --supervisor"

complete -c vrun -f
complete -c vrun -n '__vrun_at 1' -a '(__vrun_commands)'
complete -c vrun -n '__vrun_at 1' -a '(__fish_complete_directories)'
complete -c vrun -n '__vrun_at 1' -a '--help --version'
complete -c vrun -n '__vrun_at 2; and __vrun_is policy' -a '(__vrun_verbs)'
complete -c vrun -n 'not __vrun_at 1; and not __vrun_foreign; and string match -q -- "-*" (commandline -ct)' -a '(__vrun_options)'
complete -c vrun -n "__vrun_value_of $files" -a '(__vrun_policies)'
complete -c vrun -n '__vrun_value_of --fabric' -a '(__vrun_fabrics)'
complete -c vrun -n '__vrun_value_of --root --rw --ro' -a '(__fish_complete_directories)'
complete -c vrun -n '__vrun_value_of --cwd' -a 'rw ro none'
complete -c vrun -n '__vrun_value_of --proto' -a 'tcp udp'
complete -c vrun -n '__vrun_value_of -o --output --log --pid-file --supervisor' -F
complete -c vrun -n "__vrun_is run learn verify create; and not __vrun_value_of $values" -a '(__fish_complete_directories)'
complete -c vrun -n "__vrun_is kill exec log sockets why graph pause resume delete state start update events; and not __vrun_value_of $values" -a '(__vrun_ids)'
complete -c vrun -n "__vrun_verb_is why suggest show apply; and not __vrun_value_of $values" -a '(__vrun_ids)'
complete -c vrun -n "__vrun_verb_is check test diff why suggest apply; and not __vrun_value_of $values" -a '(__vrun_policies)'
complete -c vrun -n "__vrun_is graph up; and not __vrun_value_of $values" -a '(__vrun_policies)'
complete -c vrun -n __vrun_foreign -a '(__fish_complete_subcommand)'
