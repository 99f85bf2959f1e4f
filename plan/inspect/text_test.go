package inspect_test

import (
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"pgregory.net/rapid"

	"starplan/plan/inspect"
	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// value makes any value, with values within.
func value(t *rapid.T, depth int) starlark.Value {
	kinds := 13
	if depth == 0 {
		kinds = 7
	}
	many := func() []starlark.Value {
		var list []starlark.Value
		for range rapid.IntRange(0, 6).Draw(t, "length") {
			list = append(list, value(t, depth-1))
		}
		return list
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return starlark.None
	case 1:
		return starlark.MakeInt64(rapid.Int64().Draw(t, "int"))
	case 2:
		n := starlark.MakeInt(3)
		for range rapid.IntRange(0, 12).Draw(t, "squares") {
			n = n.Mul(n)
		}
		return n
	case 3:
		return starlark.String(rapid.String().Draw(t, "string"))
	case 4:
		return starlark.String(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
	case 5:
		return starlark.Bytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
	case 6:
		return starlarkpb.FromProto(&planpb.TaskResult{ErrorMessage: rapid.String().Draw(t, "message")})
	case 7:
		return starlark.NewList(many())
	case 8:
		return starlark.Tuple(many())
	case 9:
		d := new(starlark.Dict)
		for i, v := range many() {
			_ = d.SetKey(starlark.MakeInt(i), v)
		}
		return d
	case 10:
		s := new(starlark.Set)
		for i := range many() {
			_ = s.Insert(starlark.String(strconv.Itoa(i)))
		}
		return s
	case 11:
		attrs := make(starlark.StringDict)
		for i, v := range many() {
			attrs["a"+strconv.Itoa(i)] = v
		}
		return starlarkstruct.FromStringDict(starlarkstruct.Default, attrs)
	default:
		l := starlark.NewList(many())
		_ = l.Append(l)
		return l
	}
}

// TestTextIsBounded writes any value in any room: the text is not much longer, is
// printable, and is the same again.
func TestTextIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value(t, 4)
		limit := rapid.IntRange(0, 300).Draw(t, "limit")
		text := inspect.Text(v, limit)
		// Escapes make up to ten bytes of one, an integer up to 620 digits.
		if len(text) > 10*limit+1000 {
			t.Fatalf("text of %d bytes in a room of %d: %s", len(text), limit, text)
		}
		for _, r := range text {
			if !strconv.IsPrint(r) {
				t.Fatalf("%q is in the text %q", r, text)
			}
		}
		if again := inspect.Text(v, limit); again != text {
			t.Fatalf("another text the second time: %s, %s", text, again)
		}
	})
}

func TestText(t *testing.T) {
	list := starlark.NewList([]starlark.Value{starlark.String("a\n"), starlark.MakeInt(1)})
	dict := new(starlark.Dict)
	if err := dict.SetKey(starlark.String("k"), list); err != nil {
		t.Fatal(err)
	}
	nested := starlark.Value(list)
	for range 10 {
		nested = starlark.NewList([]starlark.Value{nested})
	}
	for _, test := range []struct {
		v     starlark.Value
		limit int
		want  string
	}{
		{starlark.Tuple{starlark.True}, 100, "(True,)"},
		{starlark.Tuple{dict, starlark.Bytes("\xff"), starlark.Float(1.5)}, 100, `({"k": ["a\n", 1]}, b"\xff", 1.5)`},
		{list, 3, `["a\n", ... 1 more]`},
		{starlark.String("äöü"), 3, `"ä"... 6 bytes`},
		{nested, 100, "[[[[[[[... 1 more]]]]]]]"},
		{starlarkpb.FromProto(&planpb.PlanInput{PlanName: strings.Repeat("x", 100)}), 30, `PlanInput(plan_name="xxxxxxxxx... 123 bytes`},
		{starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{"b": starlark.None, "a": starlark.MakeInt(2)}), 100, "struct(a = 2, b = None)"},
	} {
		if got := inspect.Text(test.v, test.limit); got != test.want {
			t.Errorf("Text(%s, %d) = %s, want %s", test.v, test.limit, got, test.want)
		}
	}
}
