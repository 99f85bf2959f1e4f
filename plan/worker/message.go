package worker

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"starplan/plan"
	"starplan/plan/execution"
	"starplan/plan/inspect"
)

// hello configures a worker. It is the first frame that one gets.
type hello struct {
	version string
	tenant  string
	limits  plan.Limits
}

func (e *encoder) hello(h hello) {
	e.open(kindHello)
	e.string(h.version)
	e.string(h.tenant)
	e.uint(h.limits.MaxSteps)
	e.int(int64(h.limits.Timeout))
	e.int(h.limits.MaxMemory)
	e.int(int64(h.limits.MaxExecution))
	e.close()
}

func decodeHello(b []byte) (hello, error) {
	d := decoder{b: b}
	h := hello{version: d.string(), tenant: d.string()}
	h.limits = plan.Limits{
		MaxSteps:     d.uint(),
		Timeout:      time.Duration(d.int()),
		MaxMemory:    d.int(),
		MaxExecution: int(d.int()),
	}
	return h, d.end(kindHello)
}

// ready is a worker's answer to hello: it is as protected as it could make itself.
func (e *encoder) ready(version string, p Protections) {
	e.open(kindReady)
	e.string(version)
	e.bool(p.Memory)
	e.bool(p.Seccomp)
	e.uint(uint64(p.Landlock))
	e.bool(p.NoNewPrivileges)
	e.bool(p.OOMScore)
	e.strings(p.Missing)
	e.close()
}

func decodeReady(b []byte) (version string, p Protections, err error) {
	d := decoder{b: b}
	version = d.string()
	p = Protections{
		Memory:          d.bool(),
		Seccomp:         d.bool(),
		Landlock:        int(min(d.uint(), 1<<16)),
		NoNewPrivileges: d.bool(),
		OOMScore:        d.bool(),
		Missing:         d.strings(),
	}
	return version, p, d.end(kindReady)
}

// load hands over the text of a plan under a number.
func (e *encoder) load(id uint64, src *plan.Source) {
	e.open(kindLoad)
	e.uint(id)
	e.string(src.Name)
	e.string(src.Graph)
	e.string(src.Entry)
	e.string(src.Digest)
	e.uint(uint64(len(src.Files)))
	for name, text := range src.Files {
		e.string(name)
		e.string(text)
	}
	e.close()
}

func decodeLoad(b []byte) (id uint64, src *plan.Source, err error) {
	d := decoder{b: b}
	id = d.uint()
	src = &plan.Source{Name: d.string(), Graph: d.string(), Entry: d.string(), Digest: d.string()}
	n := d.length()
	src.Files = make(map[string]string, n)
	for range n {
		name := d.string()
		src.Files[name] = d.string()
	}
	return id, src, d.end(kindLoad)
}

// run asks for one record to be run. Where careful is set, the worker's
// announcement of the record leaves it before the run starts, so that its death
// is surely this record's; otherwise announcements may lag by flushDelay.
func (e *encoder) run(seq, id uint64, careful bool, rec execution.Record) {
	e.open(kindRun)
	e.uint(seq)
	e.uint(id)
	e.bool(careful)
	e.record(rec)
	e.close()
}

func (e *encoder) record(rec execution.Record) {
	e.string(rec.Topic)
	e.int(int64(rec.Partition))
	e.int(rec.Offset)
	e.int(rec.Timestamp.UnixMilli())
	e.optional(rec.Key)
	e.optional(rec.Value)
}

// runFrame is a decoded run. The record's slices are those of the payload.
type runFrame struct {
	seq, id uint64
	careful bool
	rec     execution.Record
}

// decodeRun takes the topic of the frame before, which is mostly the same one.
func decodeRun(b []byte, lastTopic string) (runFrame, error) {
	d := decoder{b: b}
	f := runFrame{seq: d.uint(), id: d.uint(), careful: d.bool(), rec: d.record(lastTopic)}
	return f, d.end(kindRun)
}

// record reads a record, whose slices are those of the payload.
func (d *decoder) record(lastTopic string) (rec execution.Record) {
	topic := d.bytes()
	if string(topic) == lastTopic {
		rec.Topic = lastTopic
	} else {
		rec.Topic = string(topic)
	}
	rec.Partition = d.int32()
	rec.Offset = d.int()
	rec.Timestamp = time.UnixMilli(d.int()).UTC()
	rec.Key = d.optional()
	rec.Value = d.optional()
	return rec
}

// inspect asks for a record to be looked into.
func (e *encoder) inspect(seq, id uint64, what inspect.Options, rec execution.Record) {
	e.open(kindInspect)
	e.uint(seq)
	e.uint(id)
	e.uint(uint64(what.Lines))
	e.bool(what.Profile)
	e.bool(what.Locals)
	e.record(rec)
	e.close()
}

// inspectFrame is a decoded inspect. The record's slices are those of the payload.
type inspectFrame struct {
	seq, id uint64
	what    inspect.Options
	rec     execution.Record
}

func decodeInspect(b []byte) (inspectFrame, error) {
	d := decoder{b: b}
	f := inspectFrame{seq: d.uint(), id: d.uint()}
	f.what = inspect.Options{Lines: int(min(d.uint(), inspect.MaxLines)), Profile: d.bool(), Locals: d.bool()}
	f.rec = d.record("")
	return f, d.end(kindInspect)
}

// seen hands over one thing that was seen.
func (e *encoder) seen(seq uint64, event inspect.Event) {
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // Numbers and strings always encode.
	}
	e.open(kindSeen)
	e.uint(seq)
	e.bytes(text)
	e.close()
}

func decodeSeen(b []byte) (seq uint64, event inspect.Event, err error) {
	d := decoder{b: b}
	seq = d.uint()
	text := d.bytes()
	if err := d.end(kindSeen); err != nil {
		return 0, inspect.Event{}, err
	}
	if err := json.Unmarshal(text, &event); err != nil {
		return 0, inspect.Event{}, &frameError{"what was seen is no JSON: " + err.Error()}
	}
	return seq, event, nil
}

// check asks for a plan to be compiled and its top level run.
func (e *encoder) check(seq, id uint64) {
	e.open(kindCheck)
	e.uint(seq)
	e.uint(id)
	e.close()
}

func decodeCheck(b []byte) (seq, id uint64, err error) {
	d := decoder{b: b}
	seq, id = d.uint(), d.uint()
	return seq, id, d.end(kindCheck)
}

// decodeNumber reads a frame that holds one number.
func decodeNumber(k kind, b []byte) (uint64, error) {
	d := decoder{b: b}
	n := d.uint()
	return n, d.end(k)
}

// checked says how a check ended; fault is nil where the plan can be served.
func (e *encoder) checked(seq uint64, fault *plan.LoadError) {
	e.open(kindChecked)
	e.uint(seq)
	e.bool(fault != nil)
	if fault != nil {
		e.string(fault.Code)
		e.string(fault.File)
		e.int(int64(fault.Line))
		e.int(int64(fault.Col))
		e.string(fault.Message)
		e.string(fault.Hint)
		e.string(fault.Backtrace)
	}
	e.close()
}

func decodeChecked(b []byte) (seq uint64, fault *plan.LoadError, err error) {
	d := decoder{b: b}
	seq = d.uint()
	if d.bool() {
		fault = &plan.LoadError{
			Code: d.string(), File: d.string(),
			Line: int(d.int32()), Col: int(d.int32()),
			Message: d.string(), Hint: d.string(), Backtrace: d.string(),
		}
	}
	return seq, fault, d.end(kindChecked)
}

// answer hands back an execution, and the processor time that it took at most,
// which the pool goes by: on a busy machine a short run takes long by the clock.
// Plan and digest stay away: the pool knows which plan it asked for.
func (e *encoder) answer(seq uint64, out execution.Outcome, work time.Duration) {
	e.open(kindAnswer)
	e.uint(seq)
	e.string(string(out.Reason))
	e.string(out.Message)
	e.bool(out.PlanError)
	e.string(out.ExecID)
	e.string(out.Position)
	e.string(out.Backtrace)
	e.uint(out.Steps)
	e.int(int64(out.Duration))
	e.int(int64(work))
	e.uint(uint64(len(out.Warnings)))
	for _, w := range out.Warnings {
		e.string(string(w))
	}
	e.strings(out.Prints)
	e.bytes(out.Value)
	e.close()
}

// decodeAnswer reads what a worker claims. The outcome shares nothing with b.
// A reason that is not one of ours is refused, since it is a metric label.
func decodeAnswer(b []byte) (seq uint64, out execution.Outcome, work time.Duration, err error) {
	d := decoder{b: b}
	seq = d.uint()
	out.Reason = execution.Reason(d.string())
	out.Message = d.string()
	out.PlanError = d.bool()
	out.ExecID = d.string()
	out.Position = d.string()
	out.Backtrace = d.string()
	out.Steps = d.uint()
	out.Duration = time.Duration(d.int())
	work = time.Duration(d.int())
	for range d.length() {
		out.Warnings = append(out.Warnings, execution.Warning(d.string()))
	}
	out.Prints = d.strings()
	out.Value = slices.Clone(d.bytes())
	if err := d.end(kindAnswer); err != nil {
		return 0, execution.Outcome{}, 0, err
	}
	if out.Reason != "" && !slices.Contains(execution.Reasons(), out.Reason) {
		return 0, execution.Outcome{}, 0, &frameError{fmt.Sprintf("answer has unknown reason %.40q", out.Reason)}
	}
	if len(out.Value) == 0 || out.Duration < 0 || work < 0 {
		return 0, execution.Outcome{}, 0, &frameError{"answer without an execution"}
	}
	return seq, out, work, nil
}
