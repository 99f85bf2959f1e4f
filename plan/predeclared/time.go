package predeclared

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// errNoNow is what time.now() gives while a plan is loaded.
var errNoNow = errors.New("time.now() is the timestamp of the record, so it can be called from plan() only, not while the plan is loaded")

func timeModule() starlark.Value {
	return newLibrary("time", starlark.StringDict{
		"now":               starlark.NewBuiltin("time.now", timeNow),
		"time":              starlark.NewBuiltin("time.time", timeTime),
		"from_timestamp":    starlark.NewBuiltin("time.from_timestamp", timeFromTimestamp),
		"parse_time":        starlark.NewBuiltin("time.parse_time", timeParse),
		"parse_duration":    starlark.NewBuiltin("time.parse_duration", timeParseDuration),
		"is_valid_timezone": starlark.NewBuiltin("time.is_valid_timezone", timeIsValidTimezone),
		"nanosecond":        Duration(time.Nanosecond),
		"microsecond":       Duration(time.Microsecond),
		"millisecond":       Duration(time.Millisecond),
		"second":            Duration(time.Second),
		"minute":            Duration(time.Minute),
		"hour":              Duration(time.Hour),
	})
}

func timeNow(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 0); err != nil {
		return nil, err
	}
	env, ok := thread.Local(envKey).(*Env)
	if !ok || env.Now == nil {
		return nil, errNoNow
	}
	return Time(env.Now.UTC()), nil
}

func timeTime(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var year, month, day, hour, minute, second, nanosecond int
	var zone string
	if len(args) > 0 {
		return nil, fmt.Errorf("%s: got %d positional arguments, want keyword arguments only", b.Name(), len(args))
	}
	if len(kwargs) == 0 {
		return nil, fmt.Errorf("%s: got no arguments, want year and what else is known; for the time of the record write time.now()", b.Name())
	}
	if err := starlark.UnpackArgs(b.Name(), nil, kwargs,
		"year?", &year, "month?", &month, "day?", &day, "hour?", &hour, "minute?", &minute,
		"second?", &second, "nanosecond?", &nanosecond, "location?", &zone); err != nil {
		return nil, err
	}
	loc, err := location(zone)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return Time(time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, loc)), nil
}

func timeFromTimestamp(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var sec, nsec int64
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &sec, &nsec); err != nil {
		return nil, err
	}
	return Time(time.Unix(sec, nsec).UTC()), nil
}

func timeParse(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text, zone string
	layout := time.RFC3339
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &text, "format?", &layout, "location?", &zone); err != nil {
		return nil, err
	}
	if err := charge(thread, (len(text)+len(layout))/bytesPerStep); err != nil {
		return nil, err
	}
	loc, err := location(zone)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	// Never time.Parse: an offset that the host's zone has would give that zone.
	t, err := time.ParseInLocation(layout, text, loc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return Time(t), nil
}

func timeParseDuration(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var v starlark.Value
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case Duration:
		return v, nil
	case starlark.String:
		if err := charge(thread, len(v)/bytesPerStep); err != nil {
			return nil, err
		}
		d, err := time.ParseDuration(string(v))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Name(), err)
		}
		return Duration(d), nil
	default:
		return nil, fmt.Errorf("%s: got %s, want string as \"1h30m\"", b.Name(), v.Type())
	}
}

func timeIsValidTimezone(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var zone string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &zone); err != nil {
		return nil, err
	}
	_, err := location(zone)
	return starlark.Bool(err == nil), nil
}

// Duration is a length of time in Starlark: "time.duration".
type Duration time.Duration

var (
	_ starlark.HasAttrs       = Duration(0)
	_ starlark.HasBinary      = Duration(0)
	_ starlark.HasUnary       = Duration(0)
	_ starlark.TotallyOrdered = Duration(0)
)

// String gives the form "1h30m0s".
func (d Duration) String() string { return time.Duration(d).String() }

// Type implements starlark.Value.
func (d Duration) Type() string { return "time.duration" }

// Freeze implements starlark.Value; durations are immutable.
func (d Duration) Freeze() {}

// Truth reports whether the duration is not 0.
func (d Duration) Truth() starlark.Bool { return d != 0 }

// Hash implements starlark.Value.
func (d Duration) Hash() (uint32, error) { return uint32(d) ^ uint32(int64(d)>>32), nil }

// MarshalJSON gives the string form, for json.encode.
func (d Duration) MarshalJSON() ([]byte, error) {
	return []byte(`"` + asciiMicro(d.String()) + `"`), nil
}

// asciiMicro writes microseconds as "us", so that the text is ASCII.
func asciiMicro(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r == 'µ' {
			r = 'u'
		}
		out = append(out, r)
	}
	return string(out)
}

// Attr implements starlark.HasAttrs.
func (d Duration) Attr(name string) (starlark.Value, error) {
	x := time.Duration(d)
	switch name {
	case "hours":
		return starlark.Float(x.Hours()), nil
	case "minutes":
		return starlark.Float(x.Minutes()), nil
	case "seconds":
		return starlark.Float(x.Seconds()), nil
	case "milliseconds":
		return starlark.MakeInt64(x.Milliseconds()), nil
	case "microseconds":
		return starlark.MakeInt64(x.Microseconds()), nil
	case "nanoseconds":
		return starlark.MakeInt64(x.Nanoseconds()), nil
	default:
		return nil, nil
	}
}

// AttrNames implements starlark.HasAttrs.
func (d Duration) AttrNames() []string {
	return []string{"hours", "microseconds", "milliseconds", "minutes", "nanoseconds", "seconds"}
}

// Cmp implements starlark.TotallyOrdered.
func (d Duration) Cmp(other starlark.Value, _ int) (int, error) {
	o := other.(Duration)
	switch {
	case d < o:
		return -1, nil
	case d > o:
		return 1, nil
	default:
		return 0, nil
	}
}

// Unary implements -duration and +duration.
func (d Duration) Unary(op syntax.Token) (starlark.Value, error) {
	switch op {
	case syntax.MINUS:
		return -d, nil
	case syntax.PLUS:
		return d, nil
	default:
		return nil, nil
	}
}

var errDurationRange = errors.New("duration out of range: want at most 292 years")

// Binary implements:
//
//	duration + duration = duration      duration // duration = int
//	duration - duration = duration      duration / duration = float
//	duration + time = time              duration / int, float = duration
//	duration * int, int * duration = duration
func (d Duration) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	switch y := y.(type) {
	case Duration:
		return durations(op, d, y)
	case Time:
		if op == syntax.PLUS {
			return addTime(y, d)
		}
	case starlark.Int:
		return scaled(op, d, y, side)
	case starlark.Float:
		if op == syntax.SLASH && side == starlark.Left {
			if y == 0 {
				return nil, errors.New("duration division by zero")
			}
			return fromFloat(float64(d) / float64(y))
		}
	}
	return nil, nil
}

// durations is the arithmetic of two durations. Overflow is an error.
func durations(op syntax.Token, x, y Duration) (starlark.Value, error) {
	switch op {
	case syntax.PLUS:
		if sum := x + y; (sum > x) == (y > 0) {
			return sum, nil
		}
		return nil, errDurationRange
	case syntax.MINUS:
		if diff := x - y; (diff < x) == (y > 0) {
			return diff, nil
		}
		return nil, errDurationRange
	case syntax.SLASH, syntax.SLASHSLASH:
		if y == 0 {
			return nil, errors.New("duration division by zero")
		}
		if op == syntax.SLASH {
			return starlark.Float(float64(x) / float64(y)), nil
		}
		return starlark.MakeInt64(int64(x)).Div(starlark.MakeInt64(int64(y))), nil
	default:
		return nil, nil
	}
}

// scaled is duration * int and duration / int.
func scaled(op syntax.Token, d Duration, y starlark.Int, side starlark.Side) (starlark.Value, error) {
	switch {
	case op == syntax.STAR:
		n, ok := starlark.MakeInt64(int64(d)).Mul(y).Int64()
		if !ok {
			return nil, errDurationRange
		}
		return Duration(n), nil
	case op == syntax.SLASH && side == starlark.Left:
		n, ok := y.Int64()
		if !ok {
			return Duration(0), nil
		}
		if n == 0 {
			return nil, errors.New("duration division by zero")
		}
		return d / Duration(n), nil
	default:
		return nil, nil
	}
}

// fromFloat converts nanoseconds. It checks the range, since Go leaves the result
// of a conversion out of range to the CPU.
func fromFloat(ns float64) (starlark.Value, error) {
	if math.IsNaN(ns) || ns >= math.MaxInt64 || ns <= math.MinInt64 {
		return nil, errDurationRange
	}
	return Duration(ns), nil
}

// Time is a moment in Starlark: "time.time".
type Time time.Time

var (
	_ starlark.HasAttrs       = Time{}
	_ starlark.HasBinary      = Time{}
	_ starlark.TotallyOrdered = Time{}
)

// String gives the form "2006-01-02 15:04:05.999999999 -0700 MST".
func (t Time) String() string {
	return time.Time(t).Format("2006-01-02 15:04:05.999999999 -0700 MST")
}

// Type implements starlark.Value.
func (t Time) Type() string { return "time.time" }

// Freeze implements starlark.Value; times are immutable.
func (t Time) Freeze() {}

// Truth reports whether t is another moment than January 1, year 1, 00:00:00 UTC.
func (t Time) Truth() starlark.Bool { return starlark.Bool(!time.Time(t).IsZero()) }

// Hash implements starlark.Value; moments that are equal have equal hashes.
func (t Time) Hash() (uint32, error) {
	sec, nsec := time.Time(t).Unix(), time.Time(t).Nanosecond()
	return uint32(sec) ^ uint32(sec>>32) ^ uint32(nsec), nil
}

// MarshalJSON gives RFC 3339 with nanoseconds as needed, for json.encode.
func (t Time) MarshalJSON() ([]byte, error) { return time.Time(t).MarshalJSON() }

// Attr implements starlark.HasAttrs.
func (t Time) Attr(name string) (starlark.Value, error) {
	x := time.Time(t)
	switch name {
	case "year":
		return starlark.MakeInt(x.Year()), nil
	case "month":
		return starlark.MakeInt(int(x.Month())), nil
	case "day":
		return starlark.MakeInt(x.Day()), nil
	case "hour":
		return starlark.MakeInt(x.Hour()), nil
	case "minute":
		return starlark.MakeInt(x.Minute()), nil
	case "second":
		return starlark.MakeInt(x.Second()), nil
	case "nanosecond":
		return starlark.MakeInt(x.Nanosecond()), nil
	case "unix":
		return starlark.MakeInt64(x.Unix()), nil
	case "unix_nano":
		sec, nsec := starlark.MakeInt64(x.Unix()), starlark.MakeInt(x.Nanosecond())
		return sec.Mul(starlark.MakeInt64(1e9)).Add(nsec), nil
	}
	if method, ok := timeMethods[name]; ok {
		return starlark.NewBuiltin("time."+name, method).BindReceiver(t), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (t Time) AttrNames() []string {
	names := []string{"year", "month", "day", "hour", "minute", "second", "nanosecond", "unix", "unix_nano"}
	names = slices.AppendSeq(names, maps.Keys(timeMethods))
	slices.Sort(names)
	return names
}

// timeMethods are the methods of Time.
var timeMethods = map[string]builtin{
	"format":      timeFormat,
	"in_location": timeInLocation,
}

func timeFormat(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var layout string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &layout); err != nil {
		return nil, err
	}
	if err := charge(thread, len(layout)/bytesPerStep); err != nil {
		return nil, err
	}
	return starlark.String(time.Time(b.Receiver().(Time)).Format(layout)), nil
}

func timeInLocation(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var zone string
	if err := starlark.UnpackPositionalArgs(b.Name(), args, kwargs, 1, &zone); err != nil {
		return nil, err
	}
	loc, err := location(zone)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return Time(time.Time(b.Receiver().(Time)).In(loc)), nil
}

// Cmp implements starlark.TotallyOrdered.
func (t Time) Cmp(other starlark.Value, _ int) (int, error) {
	return time.Time(t).Compare(time.Time(other.(Time))), nil
}

// Binary implements:
//
//	time + duration = time
//	time - duration = time
//	time - time = duration
func (t Time) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	switch y := y.(type) {
	case Duration:
		switch {
		case op == syntax.PLUS:
			return addTime(t, y)
		case op == syntax.MINUS && side == starlark.Left:
			return addTime(t, -y)
		}
	case Time:
		if op == syntax.MINUS {
			return subTimes(t, y)
		}
	}
	return nil, nil
}

func addTime(t Time, d Duration) (starlark.Value, error) {
	return Time(time.Time(t).Add(time.Duration(d))), nil
}

// subTimes refuses what Go would saturate.
func subTimes(x, y Time) (starlark.Value, error) {
	d := time.Time(x).Sub(time.Time(y))
	if d == math.MaxInt64 || d == math.MinInt64 {
		return nil, errDurationRange
	}
	return Duration(d), nil
}
