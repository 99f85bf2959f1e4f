package predeclared_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"starplan/plan/predeclared"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// TestReferenceIsComplete holds the table to the names that there are.
func TestReferenceIsComplete(t *testing.T) {
	values := predeclared.Values()
	described := map[string]bool{predeclared.Struct.Name: true}
	for _, g := range predeclared.Reference() {
		described[g.Name] = true
		var have []string
		switch g.Type {
		case "":
			have = values[g.Name].(starlark.HasAttrs).AttrNames()
		case "time.time":
			have = predeclared.Time{}.AttrNames()
		case "time.duration":
			have = predeclared.Duration(0).AttrNames()
		default:
			t.Fatalf("%s: unknown type %s", g.Name, g.Type)
		}
		compareNames(t, g.Name, have, g.Entries)
	}
	for name, v := range values {
		_, message := v.(*starlarkpb.Type)
		_, enum := v.(*starlarkpb.EnumType)
		// Starlark's own builtins are described in its specification.
		if !described[name] && !message && !enum && !starlark.Universe.Has(name) {
			t.Errorf("%s is predeclared and not described", name)
		}
	}
	message := starlarkpb.FromProto(&planpb.TaskResult{}).AttrNames()
	payload := starlarkpb.FromProto(&anypb.Any{}).AttrNames()
	compareNames(t, "messages", methodsOf(message), predeclared.MessageMethods())
	compareNames(t, "payloads", methodsOf(payload), append(slices.Clone(predeclared.MessageMethods()), predeclared.AnyMethods()...))
}

// methodsOf drops the fields, whose names are in lower case, but for unpack.
func methodsOf(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		return name != "unpack" && strings.ToLower(name) == name
	})
}

func compareNames(t *testing.T, what string, have []string, entries []predeclared.Entry) {
	t.Helper()
	var want []string
	for _, e := range entries {
		want = append(want, e.Name)
		if !strings.HasSuffix(e.Doc, ".") && !strings.HasSuffix(e.Doc, "…") || e.Type == "" {
			t.Errorf("%s.%s: want a type and sentences, got %q, %q", what, e.Name, e.Type, e.Doc)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(have, want); diff != "" {
		t.Errorf("%s: names differ (-code +reference):\n%s", what, diff)
	}
}

// TestReferenceExamples runs the examples.
func TestReferenceExamples(t *testing.T) {
	entries := append([]predeclared.Entry{predeclared.Struct}, predeclared.MessageMethods()...)
	entries = append(entries, predeclared.AnyMethods()...)
	for _, g := range predeclared.Reference() {
		entries = append(entries, g.Entries...)
	}
	shown := 0
	for _, e := range entries {
		if e.Example == "" {
			continue
		}
		shown++
		var vs [2]starlark.Value
		for i, expr := range []string{e.Example, e.Gives} {
			var err error
			if vs[i], err = starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "example", expr, predeclared.Values()); err != nil {
				t.Errorf("%s: %s: %v", e.Name, expr, err)
			}
		}
		if vs[0] == nil || vs[1] == nil {
			continue
		}
		if same, err := starlark.Equal(vs[0], vs[1]); err != nil || !same || vs[0].Type() != vs[1].Type() {
			t.Errorf("%s: %s gives %v, want %s", e.Name, e.Example, vs[0], e.Gives)
		}
		if !strings.Contains(e.Example, e.Name) {
			t.Errorf("%s: example %q does not use it", e.Name, e.Example)
		}
	}
	if shown < 40 {
		t.Errorf("%d examples, want those of nearly all names", shown)
	}
}

// TestReferenceTypes compares the type that an entry names with that of its
// example, where that is a plain use of it.
func TestReferenceTypes(t *testing.T) {
	for python, starlarkType := range map[string]string{"str": "string", "int": "int", "float": "float", "bool": "bool", "Time": "time.time", "Duration": "time.duration"} {
		for _, g := range predeclared.Reference() {
			for _, e := range g.Entries {
				if e.Type != python || g.Type != "" || e.Example == "" {
					continue
				}
				use := g.Name + "." + e.Name
				if e.Params != "" {
					call, ok := callOf(e.Example, use)
					if !ok {
						continue
					}
					use = call
				}
				v, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "example", use, predeclared.Values())
				if err != nil || v.Type() != starlarkType {
					t.Errorf("%s gives %v, %v, want a %s", use, v, err, starlarkType)
				}
			}
		}
	}
}

// callOf cuts the call of a function out of an example.
func callOf(example, function string) (string, bool) {
	i := strings.Index(example, function+"(")
	if i < 0 {
		return "", false
	}
	depth := 0
	for j, c := range example[i:] {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return example[i : i+j+1], true
			}
		}
	}
	return "", false
}

// TestFieldDocs holds the descriptions to the fields that there are.
func TestFieldDocs(t *testing.T) {
	names := make(map[string]bool)
	file := planpb.File_plan_proto
	addMessages(names, file.Messages())
	addMessages(names, (&anypb.Any{}).ProtoReflect().Descriptor().ParentFile().Messages())
	for i := range file.Enums().Len() {
		e := file.Enums().Get(i)
		names[string(e.Name())] = true
		for j := range e.Values().Len() {
			names[string(e.Name())+"."+string(e.Values().Get(j).Name())] = true
		}
	}
	for name := range names {
		if doc := predeclared.FieldDoc(name); !strings.HasPrefix(name, "PlanExecution") && !strings.HasSuffix(doc, ".") {
			t.Errorf("FieldDoc(%q) = %q, want a sentence", name, doc)
		}
	}
	if got := predeclared.FieldDoc("PlanInput.no_such_field"); got != "" {
		t.Errorf("FieldDoc of an unknown field = %q", got)
	}
}

func addMessages(names map[string]bool, list protoreflect.MessageDescriptors) {
	for i := range list.Len() {
		m := list.Get(i)
		names[string(m.Name())] = true
		for j := range m.Fields().Len() {
			names[string(m.Name())+"."+string(m.Fields().Get(j).Name())] = true
		}
	}
}
