package statuspage

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"plain <b>\n\ttext</b>", "plain <b>\n\ttext</b>"},
		{"Grüße, 世界 🙂", "Grüße, 世界 🙂"},
		{"\x00\x1b[31m\r\x7f", `\x00\x1b[31m\x0d\x7f`},
		{"\u0085\u009b\u202e\u2028\u200b", `\u0085\u009b\u202e\u2028\u200b`},
		{"a\xffb\xc3", "a\uFFFDb\uFFFD"},
		{strings.Repeat("ä", maxText), strings.Repeat("ä", maxText/2) + "\n… and 256 KiB more"},
	} {
		if got := clean(test.text); got != test.want {
			t.Errorf("clean(%.60q) = %.60q, want %.60q", test.text, got, test.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("clean(%q) = %q is no UTF-8", s, got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
				t.Errorf("clean(%q) = %q holds %U", s, got, r)
			}
		}
		if again := clean(got); again != got && len(s) <= maxText {
			t.Errorf("clean(%q) = %q, and cleaned again %q", s, got, again)
		}
		if utf8.ValidString(s) && strings.Contains(s, "\n") != strings.Contains(got, "\n") && len(s) <= maxText {
			t.Errorf("clean(%q) = %q: lines differ", s, got)
		}
	})
}

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{formatSeconds(math.NaN()), "–"},
		{formatSeconds(0), "0"},
		{formatSeconds(0.0000046), "4.6 µs"},
		{formatSeconds(0.00025), "250 µs"},
		{formatSeconds(0.0009999), "1 ms"},
		{formatSeconds(0.01234), "12.3 ms"},
		{formatSeconds(0.9999), "1 s"},
		{formatSeconds(59.96), "60 s"},
		{formatSeconds(300), "5 min"},
		{formatSeconds(7200), "2 h"},
		{formatCount(7), "7"},
		{formatCount(1234), "1234"},
		{formatCount(uint64(12345)), "12\u202f345"},
		{formatCount(1e9), "1\u202f000\u202f000\u202f000"},
		{formatBytes(0), "0 B"},
		{formatBytes(1023), "1023 B"},
		{formatBytes(int64(1536)), "1.5 KiB"},
		{formatBytes(64 << 20), "64 MiB"},
		{formatBytes(int64(3) << 30), "3 GiB"},
		{percent(0, 0), "0 %"},
		{percent(1, 3), "33.3 %"},
		{percent(1, 100000), "< 0.1 %"},
		{percent(5, 5), "100 %"},
		{formatRate(0), "0/s"},
		{formatRate(1.25), "1.25/s"},
		{short("äöü", 2), "äö…"},
		{short("äöü", 3), "äöü"},
		{caret("a\tb\u202e"), " \t       "},
		{partitions(nil), "no partitions"},
		{partitions([]int32{3}), "partition 3"},
		{partitions([]int32{0, 1, 2, 5, 7, 8}), "partitions 0–2, 5, 7–8"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestPaths(t *testing.T) {
	nan := math.NaN()
	scale := func(v float64) float64 { return v / 10 }
	for _, test := range []struct{ got, want string }{
		{path([]float64{0, 5, 10}, scale), "M0 39h1L2 20L3 1"},
		{path([]float64{nan, 5, nan, 10, nan}, scale), "M1 20h1M3 1h1"},
		{path([]float64{nan}, scale), ""},
		{path([]float64{5, 5, 5, 5, 10, 10}, scale), "M0 20h1L4 20L5 1L6 1"},
		{area([]float64{0, 10}, scale), "M0 39h1L2 1V40H0Z"},
		{area([]float64{nan, 10, nan, 0}, scale), "M1 1h1V40H1ZM3 39h1V40H3Z"},
		{bars([]float64{0, 1, 100}), "M1 40V37h1V40ZM2 40V1h1V40Z"},
		{bars([]float64{0, 0}), ""},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
