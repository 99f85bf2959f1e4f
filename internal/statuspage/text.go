package statuspage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a text on a page, in bytes.
const maxText = 256 << 10

// clean makes a text of unknown origin fit to be read: what is no UTF-8 becomes
// U+FFFD, and control characters, and others that are invisible or change the
// direction of what follows, are written as escapes. Newlines and tabs stay. Far
// too long texts are cut.
func clean(s string) string {
	rest := 0
	if len(s) > maxText {
		end := maxText
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		rest = len(s) - end
		s = s[:end]
	}
	if rest == 0 && plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // A byte that is no UTF-8 gives utf8.RuneError.
		switch {
		case r == '\n', r == '\t':
			b.WriteRune(r)
		case r < ' ', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	if rest > 0 {
		fmt.Fprintf(&b, "\n… and %s more", formatBytes(rest))
	}
	return b.String()
}

// brief is clean of the first so many characters.
func brief(s string, limit int) string { return clean(short(s, limit)) }

// plain reports that a text is printable ASCII, newlines and tabs.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// hidden are the characters that nobody sees: C1 controls, formats such as
// U+202E, which turns the direction of text, and separators of lines.
func hidden(r rune) bool {
	return r >= 0x80 && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r))
}

// caret gives the blanks that bring a caret below the end of a text. Tabs stay
// tabs, so that both are as wide.
func caret(before string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, clean(before))
}

// short cuts a text to so many characters.
func short(s string, limit int) string {
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// formatSeconds writes a duration with three digits and a unit that suits.
func formatSeconds(seconds float64) string {
	switch {
	case math.IsNaN(seconds):
		return "–"
	case seconds == 0:
		return "0"
	case seconds < 0.9995e-3:
		return digits(seconds*1e6) + " µs"
	case seconds < 0.9995:
		return digits(seconds*1e3) + " ms"
	case seconds < 120:
		return digits(seconds) + " s"
	case seconds < 7200:
		return digits(seconds/60) + " min"
	default:
		return digits(seconds/3600) + " h"
	}
}

// digits writes a number with about three digits and no more.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	default:
		s := strconv.FormatFloat(v, 'f', 2, 64)
		return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
}

// formatCount writes a whole number of any type in groups of three.
func formatCount(v any) string {
	if f, ok := v.(float64); ok {
		v = int64(f)
	}
	s := fmt.Sprint(v)
	if len(s) <= 4 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteString("\u202f") // A narrow no-break space.
		}
		b.WriteRune(r)
	}
	return b.String()
}

// formatBytes writes a size.
func formatBytes(n any) string {
	v, _ := strconv.ParseFloat(fmt.Sprint(n), 64) // All callers give whole numbers.
	switch {
	case v < 1<<10:
		return digits(v) + " B"
	case v < 1<<20:
		return digits(v/(1<<10)) + " KiB"
	case v < 1<<30:
		return digits(v/(1<<20)) + " MiB"
	default:
		return digits(v/(1<<30)) + " GiB"
	}
}

// formatClock writes the time of day, formatStamp the date too; both in UTC.
func formatClock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func formatStamp(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// percent writes a part of a whole.
func percent(part, whole uint64) string {
	switch {
	case part == 0 || whole == 0:
		return "0 %"
	case part*1000 < whole:
		return "< 0.1 %"
	default:
		return digits(float64(part)/float64(whole)*100) + " %"
	}
}
