package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"starplan/internal/config"
)

func logger(t testing.TB, format string) (*slog.Logger, *slog.LevelVar, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	log, level, err := (&config.Log{Level: "info", Format: format}).Logger(out)
	if err != nil {
		t.Fatal(err)
	}
	return log, level, out
}

func TestLogLevelChanges(t *testing.T) {
	log, level, out := logger(t, "text")
	log.Debug("one")
	level.Set(slog.LevelDebug)
	log.Debug("two")
	level.Set(slog.LevelError)
	log.Warn("three")
	if got := out.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") || strings.Contains(got, "three") {
		t.Errorf("log = %q, want what the level was at its time", got)
	}
}

func TestLogDurations(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		log, _, out := logger(t, format)
		log.Info("waiting", "retry_in", 1500*time.Millisecond, slog.Group("of", "took", time.Minute))
		if got := out.String(); !strings.Contains(got, "1.5s") || !strings.Contains(got, "1m0s") {
			t.Errorf("%s: log = %s, want 1.5s and 1m0s", format, got)
		}
	}
}

// hostile are texts as plans and records may hold them.
var hostile = map[string]string{
	"markup":         `<script>alert("x")</script>`,
	"line":           "one\nlevel=ERROR msg=forged\r\n{\"level\":\"ERROR\"}",
	"escape":         "\x1b[2J\x1b]0;title\x07",
	"C1":             "\u009b2J\u0085\u0090",
	"delete":         "a\x7f\x08b",
	"no UTF-8":       "a\xff\xc3(\xed\xa0\x80b",
	"direction":      "\u202ereversed\u2066\u200f",
	"separators":     "a\u2028b\u2029c",
	"quotes":         `"},"level":"ERROR`,
	"zero":           "a\x00b",
	"long":           strings.Repeat("é", 1<<20),
	"long and wrong": strings.Repeat("\xff\x1b", 1<<20),
}

// checkLine reports what makes a logged line harmful.
func checkLine(t *testing.T, format, line string) {
	t.Helper()
	if n := strings.Count(line, "\n"); n != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("%s: %d line ends, want one, at the end: %.200q", format, n, line)
	}
	if len(line) > 512<<10 {
		t.Errorf("%s: line of %d bytes", format, len(line))
	}
	if !utf8.ValidString(line) {
		t.Errorf("%s: line is no UTF-8: %.200q", format, line)
	}
	for _, r := range strings.TrimSuffix(line, "\n") {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) || r == '\r' || r == 0x85 || r == '\u2028' || r == '\u2029' {
			t.Errorf("%s: line holds %U: %.200q", format, r, line)
			return
		}
	}
	if format == "json" {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("line is no JSON: %v: %.200q", err, line)
		} else if fields["level"] != "INFO" {
			t.Errorf("level = %v, want INFO in %.200q", fields["level"], line)
		}
	}
}

func TestLogHostileText(t *testing.T) {
	for name, text := range hostile {
		for _, format := range []string{"json", "text"} {
			t.Run(name+" "+format, func(t *testing.T) {
				log, _, out := logger(t, format)
				log.With("bound", text).Info("execution failed", "message", text, "error", errors.New(text), slog.Group("in", "text", text))
				checkLine(t, format, out.String())
			})
		}
	}
}

func FuzzLog(f *testing.F) {
	for _, text := range hostile {
		if len(text) < 1000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{"json", "text"} {
			log, _, out := logger(t, format)
			log.Info("execution failed", "message", text)
			checkLine(t, format, out.String())
		}
	})
}
