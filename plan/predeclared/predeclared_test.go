package predeclared

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"pgregory.net/rapid"
)

// call calls a predeclared function by its dotted name on a thread of its own.
func call(t testing.TB, thread *starlark.Thread, name string, args ...starlark.Value) (starlark.Value, error) {
	t.Helper()
	module, fn, _ := strings.Cut(name, ".")
	v, err := Values()[module].(starlark.HasAttrs).Attr(fn)
	if err != nil {
		t.Fatal(err)
	}
	return starlark.Call(thread, v, args, nil)
}

func TestNames(t *testing.T) {
	want := []string{"ExecutionStatus", "PlanResult", "StoredData", "TaskResult", "json", "math", "struct", "time"}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(Values())), starlark.Universe.Has)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Values (-want +got):\n%s", diff)
	}
	if !Has("json") || Has("len") {
		t.Error("Has(json), Has(len) are not true, false")
	}
}

func TestMathIsWholeOrExplained(t *testing.T) {
	module := Values()["math"].(starlark.HasAttrs)
	for _, name := range inexact {
		_, err := module.Attr(name)
		if err == nil || err.Error() != "math."+name+" "+InexactMathReason {
			t.Errorf("math.%s: %v", name, err)
		}
		if !InexactMath(name) || slices.Contains(module.AttrNames(), name) {
			t.Errorf("math.%s is listed as inexact and offered", name)
		}
	}
}

// TestCharge checks what builtins count for their work, and that they stop before
// they do work that would exceed the limit.
func TestCharge(t *testing.T) {
	text := "[" + strings.Repeat("1,", 8000) + "1]"
	list, err := call(t, new(starlark.Thread), "json.decode", starlark.String(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		arg   starlark.Value
		steps uint64 // At least.
	}{
		{"json.decode", starlark.String(text), 1000},
		{"json.indent", starlark.String(text), 1000},
		{"json.encode", list, 8000},
		{"json.encode_indent", list, 8000},
		{"time.parse_duration", starlark.String(strings.Repeat("1h", 8000)), 1000},
	} {
		free := new(starlark.Thread)
		Bind(free, Env{MaxSteps: 1 << 40})
		if _, err := call(t, free, test.name, test.arg); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if free.Steps < test.steps {
			t.Errorf("%s counts %d steps, want at least %d", test.name, free.Steps, test.steps)
		}
		for _, limit := range []uint64{1, free.Steps / 2, free.Steps} {
			limited := false
			thread := &starlark.Thread{OnMaxSteps: func(*starlark.Thread) { limited = true }}
			Bind(thread, Env{MaxSteps: limit})
			if _, err := call(t, thread, test.name, test.arg); err == nil || !limited || thread.Steps != limit {
				t.Errorf("%s with %d of %d steps: %v, limited %v, steps %d", test.name, limit, free.Steps, err, limited, thread.Steps)
			}
		}
	}
}

// TestChargeBeforeWork checks that what an operation needs is charged at once,
// not by and by.
func TestChargeBeforeWork(t *testing.T) {
	thread := new(starlark.Thread)
	Bind(thread, Env{MaxSteps: 100})
	if err := charge(thread, 99); err != nil || thread.Steps != 99 {
		t.Errorf("charge(99) = %v, steps %d", err, thread.Steps)
	}
	if err := charge(thread, 1); err == nil || thread.Steps != 100 {
		t.Errorf("charge(1) at 99 of 100 = %v, steps %d, want an error", err, thread.Steps)
	}
	unbound := new(starlark.Thread)
	if err := charge(unbound, 1<<40); err != nil || unbound.Steps != 0 {
		t.Errorf("charge on a thread without Env = %v, steps %d", err, unbound.Steps)
	}
}

// TestZonesAreEmbedded checks that zones come from the embedded database and not
// from the host.
func TestZonesAreEmbedded(t *testing.T) {
	host := t.TempDir()
	if err := os.Mkdir(filepath.Join(host, "Europe"), 0o755); err != nil {
		t.Fatal(err)
	}
	tokyo, err := zoneFiles()["Asia/Tokyo"].Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(tokyo)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host, "Europe", "Vienna"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ZONEINFO", host)
	vienna, err := location("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	if _, offset := time.Date(2026, 1, 1, 0, 0, 0, 0, vienna).Zone(); offset != 3600 {
		t.Errorf("Europe/Vienna is %d s from UTC, want 3600 and not what the host says", offset)
	}
	if n := len(zoneFiles()); n < 590 {
		t.Errorf("%d zones are embedded, want at least 590", n)
	}
	for name := range zoneFiles() {
		if _, err := location(name); err != nil {
			t.Errorf("location(%q): %v", name, err)
		}
	}
	for _, name := range []string{"Local", "local", "Europe", "Europe/", "../x", "/etc/localtime", "europe/berlin", "\x00"} {
		if loc, err := location(name); err == nil {
			t.Errorf("location(%q) = %v, want an error", name, loc)
		}
	}
	for _, name := range []string{"", "UTC"} {
		if loc, err := location(name); err != nil || loc != time.UTC {
			t.Errorf("location(%q) = %v, %v, want UTC", name, loc, err)
		}
	}
}

// TestParseTimeIgnoresTheHost parses an offset that the host's zone has.
func TestParseTimeIgnoresTheHost(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	tokyo, err := location("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	time.Local = tokyo
	v, err := call(t, new(starlark.Thread), "time.parse_time", starlark.String("2026-01-02T03:04:05+09:00"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.String(), "2026-01-02 03:04:05 +0900 +0900"; got != want {
		t.Errorf("parse_time = %s, want %s", got, want)
	}
	v, err = call(t, new(starlark.Thread), "time.from_timestamp", starlark.MakeInt(0))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.String(), "1970-01-01 00:00:00 +0000 UTC"; got != want {
		t.Errorf("from_timestamp = %s, want %s", got, want)
	}
}

// drawValue draws what JSON can write.
func drawValue(t *rapid.T, depth int) starlark.Value {
	kinds := 7
	if depth == 0 {
		kinds = 5
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return starlark.None
	case 1:
		return starlark.Bool(rapid.Bool().Draw(t, "bool"))
	case 2:
		return starlark.MakeInt64(rapid.Int64().Draw(t, "int"))
	case 3:
		return starlark.Float(rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).Draw(t, "float"))
	case 4:
		return starlark.String(rapid.String().Draw(t, "string"))
	case 5:
		list := starlark.NewList(nil)
		for range rapid.IntRange(0, 4).Draw(t, "len") {
			_ = list.Append(drawValue(t, depth-1))
		}
		return list
	default:
		dict := new(starlark.Dict)
		for range rapid.IntRange(0, 4).Draw(t, "len") {
			_ = dict.SetKey(starlark.String(rapid.String().Draw(t, "key")), drawValue(t, depth-1))
		}
		return dict
	}
}

// TestJSONRoundTrip writes values and reads them again. What is written is valid
// JSON, and the same for dicts of any order.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := drawValue(rt, 4)
		text, err := encodeValue(new(starlark.Thread), v)
		if err != nil {
			rt.Fatal(err)
		}
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) {
			rt.Fatalf("not valid JSON: %q", text)
		}
		back, err := decodeText(new(starlark.Thread), text)
		if err != nil {
			rt.Fatal(err)
		}
		if equal, err := starlark.Equal(v, back); err != nil || !equal {
			rt.Fatalf("%v became %v", v, back)
		}
		again, err := encodeValue(new(starlark.Thread), reversed(v))
		if err != nil || again != text {
			rt.Fatalf("in another order %q became %q, %v", text, again, err)
		}
	})
}

// reversed gives a value whose dicts hold their keys in the opposite order.
func reversed(v starlark.Value) starlark.Value {
	switch v := v.(type) {
	case *starlark.List:
		list := starlark.NewList(nil)
		for elem := range starlark.Elements(v) {
			_ = list.Append(reversed(elem))
		}
		return list
	case *starlark.Dict:
		dict := new(starlark.Dict)
		for _, item := range slices.Backward(v.Items()) {
			_ = dict.SetKey(item[0], reversed(item[1]))
		}
		return dict
	default:
		return v
	}
}

// FuzzJSON reads any text. What can be read is what encoding/json calls valid, and
// can be written and read again.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x\u00e4",null,true]}`, "[[[", `"\x7f"`, "1e400", "-0", `"\ud800"`, "[1,]", "01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decodeText(new(starlark.Thread), text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("decode(%q) = %v, want an error", text, v)
		}
		written, err := encodeValue(new(starlark.Thread), v)
		if err != nil {
			t.Fatalf("decode(%q) = %v, and encode: %v", text, v, err)
		}
		back, err := decodeText(new(starlark.Thread), written)
		if err != nil {
			t.Fatalf("decode(%q): %v", written, err)
		}
		if equal, err := starlark.Equal(v, back); err != nil || !equal {
			t.Errorf("%v became %v", v, back)
		}
		if _, err := indentText(new(starlark.Thread), written, "", "  "); err != nil {
			t.Errorf("indent(%q): %v", written, err)
		}
	})
}

func TestCheckTaskName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"", ""},
		{"a", ""},
		{strings.Repeat("ä", 100), ""},
		{strings.Repeat("ä", 101), "got a name of 101 characters, want at most 100"},
		{"\xff", "got a string that is not valid UTF-8"},
	} {
		got := ""
		if err := CheckTaskName(test.name); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("CheckTaskName(%q) = %q, want %q", test.name, got, test.want)
		}
	}
}

// BenchmarkJSON reads and writes a small document.
func BenchmarkJSON(b *testing.B) {
	text := starlark.String(`{"order": {"id": "o-17", "items": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}], "total": 12.5}}`)
	thread := new(starlark.Thread)
	b.ReportAllocs()
	for b.Loop() {
		v, err := call(b, thread, "json.decode", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := call(b, thread, "json.encode", v); err != nil {
			b.Fatal(err)
		}
	}
}
