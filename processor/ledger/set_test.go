package ledger

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// genSet draws a set of offsets in the window from position on.
func genSet(t *rapid.T, position int64) Set {
	var set Set
	at := position
	for range rapid.IntRange(0, 40).Draw(t, "ranges") {
		from := at + rapid.Int64Range(0, 700).Draw(t, "gap")
		to := from + rapid.Int64Range(1, 300).Draw(t, "run")
		if to > position+Window {
			break
		}
		set = set.add(from, to)
		at = to
	}
	return set
}

func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		position := rapid.Int64Range(0, 1<<60).Draw(t, "position")
		set := genSet(t, position)
		note := Note{
			Topic: rapid.StringMatching(`[A-Za-z0-9_-]{0,40}`).Draw(t, "topic"),
			Since: rapid.Int64Range(0, 1<<50).Draw(t, "since"),
			Nonce: rapid.StringMatching(`[a-z0-9.]{0,200}`).Draw(t, "nonce"),
		}
		text := Encode(position, set, note)
		if len(text) > MaxMetadata {
			t.Fatalf("Encode() has %d characters, want %d at most", len(text), MaxMetadata)
		}
		got, gotNote, err := Decode(position, text)
		if text == "" {
			if !errors.Is(err, ErrForeign) || len(set) != 0 || note != (Note{}) {
				t.Fatalf("Decode(%q) = %v for %v, %v", text, err, set, note)
			}
			return
		}
		if err != nil || gotNote != note {
			t.Fatalf("Decode() = note %v, error %v, want note %v, nil", gotNote, err, note)
		}
		if diff := cmp.Diff(set, got); diff != "" {
			t.Fatalf("Decode(Encode(set)) (-want +got):\n%s", diff)
		}
		if _, _, err := Decode(position+1, text); len(set) > 0 && err == nil {
			t.Fatalf("metadata of offset %d was taken for that of %d", position, position+1)
		}
	})
}

func TestEncodeWorstCaseFits(t *testing.T) {
	note := Note{Topic: strings.Repeat("t", maxTopic), Since: 1 << 62, Nonce: strings.Repeat("n", MaxNonce)}
	for _, tt := range []struct {
		name string
		step int64
	}{
		{"every offset", 1},
		{"every other offset", 2},
		{"every third offset", 3},
		{"every 200th offset", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var set Set
			for o := int64(1); o < Window; o += tt.step {
				set = set.add(7+o, 7+o+1)
			}
			text := Encode(7, set, note)
			if len(text) > MaxMetadata {
				t.Errorf("Encode() has %d characters, want %d at most", len(text), MaxMetadata)
			}
			got, _, err := Decode(7, text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(set, got); diff != "" {
				t.Errorf("Decode(Encode(set)) (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeForeignOrDamaged(t *testing.T) {
	good := Encode(100, Set{{102, 105}, {200, 201}}, Note{Nonce: "n1"})
	for _, tt := range []struct {
		name     string
		metadata string
		foreign  bool
	}{
		{"empty", "", true},
		{"another client's", "consumer-1-6f1d5a2e", true},
		{"another version", "starplan9:x:AAAA", true},
		{"no note", "starplan2:AAAA", false},
		{"no time", "starplan2::%::AAAA", false},
		{"no base64", "starplan2:::n:%%%", false},
		{"cut short", good[:len(good)-4], false},
		{"one character changed", strings.Replace(good, "n1:c", "n1:d", 1), false},
		{"other prefix of the body", "starplan2:::n1:AAAAAAAAAAAA", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, _, err := Decode(100, tt.metadata)
			if err == nil || len(set) != 0 {
				t.Fatalf("Decode(%q) = %v, %v, want no set and an error", tt.metadata, set, err)
			}
			if got := errors.Is(err, ErrForeign); got != tt.foreign {
				t.Errorf("Decode(%q) = %v; foreign %v, want %v", tt.metadata, err, got, tt.foreign)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(int64(0), "")
	f.Add(int64(100), Encode(100, Set{{102, 105}, {200, 201}}, Note{Nonce: "n1"}))
	f.Add(int64(5), Encode(5, Set{{6, 7}, {8, 9}, {10, 11}, {12, 13}, {14, 15}}, Note{Topic: "t", Since: 5}))
	f.Fuzz(func(t *testing.T, position int64, metadata string) {
		set, _, err := Decode(position, metadata)
		if err != nil && len(set) > 0 {
			t.Errorf("Decode() = %v with error %v", set, err)
		}
		last := position
		for i, r := range set {
			if r.From >= r.To || r.From < last || i > 0 && r.From == last || r.To > position+Window+8 {
				t.Errorf("Decode(%d, %q) = %v: bad range %v", position, metadata, set, r)
			}
			last = r.To
		}
	})
}
