package httpserver

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// level answers what is logged, and changes it: GET and PUT /-/log-level?level=debug.
func (o Options) level(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		text := r.URL.Query().Get("level")
		var level slog.Level
		if err := level.UnmarshalText([]byte(text)); err != nil {
			o.write(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("level: want debug, info, warn or error, got %q", text)})
			return
		}
		if old := o.Level.Level(); level != old {
			o.Level.Set(level)
			// At the higher of both, so that the line is seen unless all is off.
			o.Logger.Log(r.Context(), max(level, old, slog.LevelInfo), "log level changed", "from", name(old), "to", name(level))
		}
	}
	o.write(w, http.StatusOK, map[string]string{"level": name(o.Level.Level())})
}

func name(l slog.Level) string { return strings.ToLower(l.String()) }
