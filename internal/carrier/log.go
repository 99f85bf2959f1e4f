package carrier

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
)

// GokaLogger writes goka's messages to log, at debug level: goka has no levels,
// and what it has to say at a rebalance is no news to anybody else.
func GokaLogger(log *slog.Logger) goka.Logger { return gokaLogger{log} }

type gokaLogger struct{ log *slog.Logger }

func (l gokaLogger) Print(v ...any)   { l.write(fmt.Sprint(v...)) }
func (l gokaLogger) Println(v ...any) { l.write(fmt.Sprintln(v...)) }

func (l gokaLogger) Printf(format string, v ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.write(fmt.Sprintf(format, v...))
	}
}

func (l gokaLogger) write(s string) { l.log.Debug("goka", "text", strings.TrimSpace(s)) }

// KafkaLogger writes franz-go's messages to log, one level down: its information
// is our debugging. Errors stay warnings, because the client goes on by itself.
func KafkaLogger(log *slog.Logger) kgo.Logger { return kafkaLogger{log} }

type kafkaLogger struct{ log *slog.Logger }

// Level tells franz-go what is worth formatting.
func (l kafkaLogger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

// Log writes one message.
func (l kafkaLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	if level == kgo.LogLevelError || level == kgo.LogLevelWarn {
		at = slog.LevelWarn
	}
	l.log.Log(context.Background(), at, "kafka client", append([]any{"text", msg}, keyvals...)...)
}
