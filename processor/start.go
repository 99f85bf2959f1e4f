package processor

import (
	"fmt"
	"strings"
	"time"
)

// startKind is one of the forms of Start.
type startKind string

const (
	startOldest startKind = "oldest"
	startLatest startKind = "latest"
	startTime   startKind = "time"
	startGroup  startKind = "group"
)

// Start is where a group without a committed offset begins to read.
type Start struct {
	kind  startKind
	time  time.Time
	group string
}

// Oldest begins with the first record that the topic still has.
func Oldest() Start { return Start{kind: startOldest} }

// Latest begins with what arrives from now on.
func Latest() Start { return Start{kind: startLatest} }

// At begins with the first record whose timestamp is t or later.
func At(t time.Time) Start { return Start{kind: startTime, time: t} }

// LikeGroup begins where another group stands. Where that one has no committed
// offset either, it begins with the oldest record.
func LikeGroup(group string) Start { return Start{kind: startGroup, group: group} }

// ParseStart reads oldest, latest, an RFC 3339 time, or group:NAME.
func ParseStart(s string) (Start, error) {
	switch s {
	case string(startOldest):
		return Oldest(), nil
	case string(startLatest):
		return Latest(), nil
	}
	if name, ok := strings.CutPrefix(s, "group:"); ok {
		if name == "" {
			return Start{}, fmt.Errorf("start %q: group: names no group", s)
		}
		return LikeGroup(name), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return Start{}, fmt.Errorf("start %q: want oldest, latest, an RFC 3339 time such as 2026-01-02T03:04:05Z, or group:NAME", s)
	}
	return At(t), nil
}

// Group is the group of LikeGroup; empty for every other start.
func (s Start) Group() string { return s.group }

// String gives the form that ParseStart reads.
func (s Start) String() string {
	switch s.kind {
	case startTime:
		return s.time.Format(time.RFC3339Nano)
	case startGroup:
		return "group:" + s.group
	case "":
		return string(startOldest)
	default:
		return string(s.kind)
	}
}
