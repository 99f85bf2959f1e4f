package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLogged bounds a logged text in bytes: what plans and records say is in the
// log, too.
const maxLogged = 16 << 10

// Logger makes the logger that the settings ask for; it writes to w. The level
// may be changed at any time.
//
// Durations are written as people read them, in JSON too. Texts are made harmless
// to terminals and to programs that read lines: they are cut at 16 KiB, and what
// neither JSON nor slog's text escapes, such as the control characters beyond
// ASCII and marks that turn the direction of writing, is written as an escape.
func (l *Log) Logger(w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, nil, fmt.Errorf("LOG_LEVEL: want debug, info, warn or error, got %q", l.Level)
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	switch l.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), level, nil
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), level, nil
	default:
		return nil, nil, fmt.Errorf("LOG_FORMAT: want json or text, got %q", l.Format)
	}
}

// readable is the ReplaceAttr of every logger.
func readable(_ []string, a slog.Attr) slog.Attr {
	a.Key = harmless(a.Key)
	switch a.Value.Kind() {
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case slog.KindString:
		a.Value = slog.StringValue(harmless(a.Value.String()))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			a.Value = slog.StringValue(harmless(v.Error()))
		case fmt.Stringer:
			a.Value = slog.StringValue(harmless(v.String()))
		}
	}
	return a
}

// harmless gives s with what is neither printed nor escaped by slog's handlers
// written as an escape, and cut where it is too long.
func harmless(s string) string {
	cut := 0
	if len(s) > maxLogged {
		end := maxLogged
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], len(s)-end
	}
	if strings.ContainsFunc(s, hidden) {
		var b strings.Builder
		for _, r := range s {
			if hidden(r) {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		s = b.String()
	}
	if cut > 0 {
		s = fmt.Sprintf("%s… (%d bytes more)", s, cut)
	}
	return s
}

// hidden reports whether a rune beyond ASCII's control characters, which the
// handlers escape, does something else than to show itself.
func hidden(r rune) bool {
	return r >= 0x7f && !unicode.IsPrint(r) && !unicode.IsSpace(r) || r == 0x85 || r == '\u2028' || r == '\u2029'
}
