package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is shown below the flags.
func (completionCmd) Help() string {
	return `It prints a script that makes the shell complete commands, flags, their values and files.

Examples:

  source <(starplan completion bash)          in ~/.bashrc
  source <(starplan completion zsh)           in ~/.zshrc, after compinit
  starplan completion fish | source           in ~/.config/fish/config.fish`
}

// Run prints the script for a shell, made from the commands that there are.
func (c *completionCmd) Run(p Process, k *kong.Context) error {
	var b strings.Builder
	commands := k.Model.Leaves(true)
	switch c.Shell {
	case "bash":
		bashCompletion(&b, commands)
	case "zsh":
		zshCompletion(&b, commands)
	default:
		fishCompletion(&b, commands)
	}
	_, err := io.WriteString(p.Stdout, b.String())
	return err
}

// visibleFlags lists the flags of a command, those of all commands included.
func visibleFlags(command *kong.Node) []*kong.Flag {
	var list []*kong.Flag
	for _, group := range command.AllFlags(true) {
		list = append(list, group...)
	}
	return list
}

// takesValue reports whether a value follows a flag.
func takesValue(f *kong.Flag) bool { return !f.IsBool() && !f.IsCounter() }

// choices lists the values that a flag or an argument may have; nil where it may
// have any.
func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

// argumentChoices lists the values of a command's first argument.
func argumentChoices(command *kong.Node) []string {
	if len(command.Positional) == 0 {
		return nil
	}
	return choices(command.Positional[0])
}

// quoted makes text a word of any of the three shells.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// bashCompletion finds the command among the words and offers its flags, or
// after a flag its values; anything else is a file.
func bashCompletion(b *strings.Builder, commands []*kong.Node) {
	var names, flags, values strings.Builder
	for _, command := range commands {
		fmt.Fprintf(&names, "%s ", command.Name)
		fmt.Fprintf(&flags, "    %s) words='", command.Name)
		for _, f := range visibleFlags(command) {
			fmt.Fprintf(&flags, "--%s ", f.Name)
			switch list := choices(f.Value); {
			case list != nil:
				fmt.Fprintf(&values, "    '%s --%s') COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", command.Name, f.Name, strings.Join(list, " "))
			case takesValue(f):
				fmt.Fprintf(&values, "    '%s --%s') COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", command.Name, f.Name)
			}
		}
		fmt.Fprintf(&flags, "' arguments='%s' ;;\n", strings.Join(argumentChoices(command), " "))
	}
	fmt.Fprintf(b, `# bash completion for starplan
_starplan() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' words='' arguments='' word
  # Bash takes the = of --flag=value for a word.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " %s" in *" $word "*) command=$word; break ;; esac
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W '%s--help --version' -- "$cur")); return
  fi
  case "$command $prev" in
%s  esac
  case $command in
%s  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  elif [[ -n $arguments ]]; then
    COMPREPLY=($(compgen -W "$arguments" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _starplan starplan
`, names.String(), names.String(), values.String(), flags.String())
}

func zshCompletion(b *strings.Builder, commands []*kong.Node) {
	colon := strings.NewReplacer(`\`, `\\`, ":", `\:`)
	bracket := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`)
	b.WriteString("#compdef starplan\n_starplan() {\n  local -a commands=(\n")
	for _, command := range commands {
		fmt.Fprintf(b, "    %s\n", quoted(command.Name+":"+colon.Replace(command.Help)))
	}
	b.WriteString("  )\n  if (( CURRENT == 2 )); then _describe command commands; return; fi\n  shift words; (( CURRENT-- ))\n  case $words[1] in\n")
	for _, command := range commands {
		fmt.Fprintf(b, "    %s) _arguments", command.Name)
		for _, f := range visibleFlags(command) {
			spec := "--" + f.Name
			if takesValue(f) {
				spec += "="
			}
			spec += "[" + bracket.Replace(f.Help) + "]"
			if list := choices(f.Value); list != nil {
				spec += ":value:(" + strings.Join(list, " ") + ")"
			} else if takesValue(f) {
				spec += ":value:_files"
			}
			fmt.Fprintf(b, " \\\n      %s", quoted(spec))
		}
		arguments := "*:file:_files"
		if list := argumentChoices(command); list != nil {
			arguments = "*:value:(" + strings.Join(list, " ") + ")"
		}
		fmt.Fprintf(b, " \\\n      %s ;;\n", quoted(arguments))
	}
	b.WriteString("  esac\n}\n[[ $funcstack[1] == _starplan ]] && _starplan \"$@\" || compdef _starplan starplan\n")
}

func fishCompletion(b *strings.Builder, commands []*kong.Node) {
	escape := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	fish := func(text string) string { return "'" + escape.Replace(text) + "'" }
	b.WriteString("# fish completion for starplan\n")
	for _, command := range commands {
		fmt.Fprintf(b, "complete -c starplan -f -n __fish_use_subcommand -a %s -d %s\n", command.Name, fish(command.Help))
		seen := fish("__fish_seen_subcommand_from " + command.Name)
		if list := argumentChoices(command); list != nil {
			fmt.Fprintf(b, "complete -c starplan -f -n %s -a %s\n", seen, fish(strings.Join(list, " ")))
		}
		for _, f := range visibleFlags(command) {
			fmt.Fprintf(b, "complete -c starplan -n %s -l %s -d %s", seen, f.Name, fish(f.Help))
			if list := choices(f.Value); list != nil {
				fmt.Fprintf(b, " -x -a %s", fish(strings.Join(list, " ")))
			} else if takesValue(f) {
				b.WriteString(" -r")
			}
			b.WriteByte('\n')
		}
	}
}
