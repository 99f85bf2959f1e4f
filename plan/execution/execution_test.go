package execution_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"starplan/plan/execution"
)

func TestParseKey(t *testing.T) {
	for _, test := range []struct {
		key  []byte
		want execution.Key
		ok   bool
	}{
		{nil, execution.Key{}, false},
		{[]byte(""), execution.Key{}, false},
		{[]byte("collect"), execution.Key{Plan: "collect"}, true},
		{[]byte("g1:collect"), execution.Key{Graph: "g1", Plan: "collect"}, true},
		{[]byte("urn:graph:7:collect"), execution.Key{Graph: "urn:graph:7", Plan: "collect"}, true},
		{[]byte(":collect"), execution.Key{Plan: "collect"}, true},
		{[]byte("g1:"), execution.Key{}, false},
		{[]byte(":"), execution.Key{}, false},
		{[]byte("größe:plän"), execution.Key{Graph: "größe", Plan: "plän"}, true},
		{[]byte("coll\xffect"), execution.Key{}, false},
		{[]byte("\xff:collect"), execution.Key{}, false},
		{[]byte(" "), execution.Key{Plan: " "}, true},
	} {
		got, ok := execution.ParseKey(test.key)
		if got != test.want || ok != test.ok {
			t.Errorf("ParseKey(%q) = %+v, %v, want %+v, %v", test.key, got, ok, test.want, test.ok)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("g:p"))
	f.Add([]byte("a:b:c"))
	f.Add([]byte("\xff:"))
	f.Fuzz(func(t *testing.T, key []byte) {
		k, ok := execution.ParseKey(key)
		if !ok {
			return
		}
		if k.Plan == "" || strings.Contains(k.Plan, ":") || !utf8.ValidString(k.Plan) {
			t.Errorf("ParseKey(%q) gives the plan name %q", key, k.Plan)
		}
		again, ok := execution.ParseKey([]byte(k.String()))
		if !ok || again != k {
			t.Errorf("ParseKey(%q) = %+v, %v, want %+v as from %q", k.String(), again, ok, k, key)
		}
	})
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		s     string
		limit int
		want  string
	}{
		{"", 3, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"äöü", 3, "äöü"},
		{"äöüß", 3, "äöü"},
		{"日本語", 2, "日本"},
		{"a\xffb", 3, "a\uFFFDb"},
		{"a\xff\xfeb", 2, "a\uFFFD"},
		{"ä"[:1], 5, "\uFFFD"},
		{"abc", 0, ""},
	} {
		if got := execution.Cut(test.s, test.limit); got != test.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.s, test.limit, got, test.want)
		}
	}
}

func TestReasons(t *testing.T) {
	seen := make(map[execution.Reason]bool)
	for _, reason := range execution.Reasons() {
		if reason == "" || seen[reason] {
			t.Errorf("Reasons() lists %q twice or empty", reason)
		}
		seen[reason] = true
		want := reason != execution.ReasonTimeout && reason != execution.ReasonMemory && reason != execution.ReasonCrash
		if got := reason.Deterministic(); got != want {
			t.Errorf("%q.Deterministic() = %v, want %v", reason, got, want)
		}
	}
	if len(seen) != 10 {
		t.Errorf("Reasons() lists %d, want all 10", len(seen))
	}
	if got := len(execution.Skips()); got != 3 {
		t.Errorf("Skips() lists %d, want all 3", got)
	}
}
