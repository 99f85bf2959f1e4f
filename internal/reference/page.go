package reference

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"google.golang.org/protobuf/reflect/protoreflect"

	"starplan/plan/predeclared"
)

// Extra is a group of names that are known in some files only.
type Extra struct {
	Title, Doc string
	Entries    []predeclared.Entry
}

// Page gives the reference as Markdown, with the groups of extra names at its end.
// Examples are marked for the test of the documentation.
func Page(extras ...Extra) string {
	var b strings.Builder
	b.WriteString(`# Plan reference

Everything that a plan finds without loading it. This page is generated from the table that ` + "`starplan stubs`" + `
is made of; [writing-plans.md](writing-plans.md) explains it. Types are written as in Python, and every line
` + "`EXPRESSION  # => VALUE`" + ` runs in a test.

`)
	var toc []string
	for _, title := range titles(extras) {
		toc = append(toc, fmt.Sprintf("[%s](#%s)", title, strings.ReplaceAll(strings.ToLower(title), " ", "-")))
	}
	b.WriteString("- " + strings.Join(toc, "\n- ") + "\n")
	b.WriteString("\n## Messages\n\nFields are attributes. One that is not set reads as its zero: an empty string, list or message, or 0.\nPlanResult, TaskResult and StoredData are made with keywords, one for each field.\n")
	for _, md := range messages() {
		writeMessage(&b, md)
	}
	for _, e := range enums() {
		writeEnum(&b, e)
	}
	b.WriteString("\n## Methods of messages\n")
	writeEntries(&b, "m.", predeclared.MessageMethods())
	b.WriteString("\n## Methods of payloads\n")
	writeEntries(&b, "payload.", predeclared.AnyMethods())
	for _, g := range predeclared.Reference() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", groupTitle(g), g.Doc)
		prefix := g.Name + "."
		if g.Type != "" {
			prefix = "x."
			fmt.Fprintf(&b, "`type(x)` is `%q`.\n", g.Type)
		}
		writeEntries(&b, prefix, g.Entries)
	}
	b.WriteString("\n## struct\n")
	writeEntries(&b, "", []predeclared.Entry{predeclared.Struct})
	fmt.Fprintf(&b, "\n## Names of all Starlark\n\nThe [specification](https://github.com/google/starlark-go/blob/master/doc/spec.md) describes them: %s.\n", universe())
	for _, x := range extras {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", x.Title, x.Doc)
		writeEntries(&b, "", x.Entries)
	}
	return b.String()
}

func titles(extras []Extra) []string {
	list := []string{"Messages", "Methods of messages", "Methods of payloads"}
	for _, g := range predeclared.Reference() {
		list = append(list, groupTitle(g))
	}
	list = append(list, "struct", "Names of all Starlark")
	for _, x := range extras {
		list = append(list, x.Title)
	}
	return list
}

// groupTitle tells the module time from the type Time, in a page's anchors too.
func groupTitle(g predeclared.Group) string {
	if g.Type != "" {
		return "Type " + g.Name
	}
	return g.Name
}

// universe lists the names that every Starlark has.
func universe() string {
	names := make([]string, 0, len(starlark.Universe))
	for name := range starlark.Universe {
		names = append(names, "`"+name+"`")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func writeMessage(b *strings.Builder, md protoreflect.MessageDescriptor) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n| field | type | |\n|---|---|---|\n", className(md), predeclared.FieldDoc(string(md.Name())))
	for _, fd := range fields(md) {
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", fd.Name(), fieldType(fd), predeclared.FieldDoc(string(md.Name())+"."+string(fd.Name())))
	}
}

func writeEnum(b *strings.Builder, e protoreflect.EnumDescriptor) {
	name := string(e.Name())
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n| value | number | |\n|---|---|---|\n", name, predeclared.FieldDoc(name))
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		fmt.Fprintf(b, "| `%s.%s` | %d | %s |\n", name, v.Name(), v.Number(), predeclared.FieldDoc(name+"."+string(v.Name())))
	}
}

// writeEntries writes a table of names, and their examples below it.
func writeEntries(b *strings.Builder, prefix string, entries []predeclared.Entry) {
	b.WriteString("\n| name | gives | |\n|---|---|---|\n")
	var examples strings.Builder
	for _, e := range entries {
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", cell(prefix+e.Name+e.Params), cell(e.Type), cell(e.Doc))
		if e.Example != "" {
			fmt.Fprintf(&examples, "%s  # => %s\n", e.Example, e.Gives)
		}
	}
	if examples.Len() > 0 {
		fmt.Fprintf(b, "\n```starlark\n%s```\n", examples.String())
	}
}

// cell keeps a table's columns apart.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
