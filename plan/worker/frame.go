package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A frame is a little-endian uint32 that counts the bytes after it, one byte
// that says what it is, and a payload of varints and length-prefixed strings.
const headerSize = 4

// kind is what a frame is.
type kind byte

// Frames from the pool to a worker.
const (
	kindHello   kind = 'H' // First, once: configuration.
	kindLoad    kind = 'L' // Sources of a plan, under a number.
	kindDrop    kind = 'D' // Forget the plan of that number.
	kindRun     kind = 'R' // Run a plan on a record.
	kindCheck   kind = 'C' // Compile a plan and run its top level.
	kindRecall  kind = 'X' // Forget every record that is not begun.
	kindInspect kind = 'I' // Look into a run.
)

// Frames from a worker to the pool.
const (
	kindReady    kind = 'r' // First, once: the protections that are in force.
	kindBegin    kind = 'b' // The record or check of that number begins.
	kindAnswer   kind = 'a' // Its execution.
	kindChecked  kind = 'c' // The outcome of a check.
	kindSeen     kind = 's' // Something that was seen in a run; kindChecked ends it.
	kindRecalled kind = 'x' // All records sent before the recall are begun or forgotten.
)

// maxToWorker caps a frame to a worker: the largest record that a broker can be
// configured to carry, with room for topic and key. A worker is not made to
// allocate more than its own limit anyway.
const maxToWorker = 1<<30 + 1<<16

// roomInAnswer is how many bytes an answer may have beyond the execution:
// message, backtrace, prints.
const roomInAnswer = 1 << 20

var errFrame = errors.New("malformed frame")

// frameError is a frame that cannot be read: the other side is not to be trusted
// with anything that follows.
type frameError struct{ what string }

func (e *frameError) Error() string { return "frame: " + e.what }

func (e *frameError) Is(target error) bool { return target == errFrame }

// encoder appends frames to a buffer.
type encoder struct {
	buf   []byte
	start int // Of the frame that is open.
}

// open begins a frame.
func (e *encoder) open(k kind) {
	e.start = len(e.buf)
	e.buf = append(e.buf, 0, 0, 0, 0, byte(k))
}

// close ends the frame by writing its length in front.
func (e *encoder) close() {
	binary.LittleEndian.PutUint32(e.buf[e.start:], uint32(len(e.buf)-e.start-headerSize))
}

func (e *encoder) uint(v uint64) { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) int(v int64)   { e.buf = binary.AppendVarint(e.buf, v) }

func (e *encoder) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.buf = append(e.buf, b)
}

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.buf = append(e.buf, b...)
}

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// optional tells nil from empty.
func (e *encoder) optional(b []byte) {
	e.bool(b != nil)
	if b != nil {
		e.bytes(b)
	}
}

// number writes a frame that holds one number.
func (e *encoder) number(k kind, n uint64) {
	e.open(k)
	e.uint(n)
	e.close()
}

// decoder reads a payload. After the first fault every read gives a zero value;
// end tells of it.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// length reads a number of things that take at least one byte each of what is
// left, so that a lie cannot make us allocate.
func (d *decoder) length() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) int32() int32 {
	v := d.int()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int32(v)
}

func (d *decoder) bool() bool {
	if len(d.b) == 0 || d.b[0] > 1 {
		d.fail()
		return false
	}
	v := d.b[0] == 1
	d.b = d.b[1:]
	return v
}

// bytes gives a slice of the payload itself.
func (d *decoder) bytes() []byte {
	n := d.length()
	if d.bad {
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) optional() []byte {
	if !d.bool() {
		return nil
	}
	return d.bytes()
}

// strings reads a list; nil where it is empty.
func (d *decoder) strings() []string {
	n := d.length()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.string())
	}
	return list
}

func (e *encoder) strings(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.string(s)
	}
}

// end reports whether the payload was read whole and without a fault.
func (d *decoder) end(k kind) error {
	if d.bad || len(d.b) > 0 {
		return &frameError{fmt.Sprintf("payload of %q is malformed", byte(k))}
	}
	return nil
}

// splitter cuts a stream into frames. It owns its buffer: a payload is valid
// until the next call.
type splitter struct {
	r     io.Reader
	limit int // Of a frame's bytes after the length.
	buf   []byte
	lo    int // The bytes buf[lo:hi] are read and not yet given out.
	hi    int
}

func newSplitter(r io.Reader, limit int) *splitter {
	return &splitter{r: r, limit: limit, buf: make([]byte, 64<<10)}
}

// next gives the next frame. It blocks only where none is buffered. The error is
// io.EOF at the end of the stream, be it in the middle of a frame, and a
// *frameError where a length is out of bounds.
func (s *splitter) next() (kind, []byte, error) {
	for {
		k, payload, ok, err := s.buffered()
		if ok || err != nil {
			return k, payload, err
		}
		if err := s.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// buffered gives the next frame if it is wholly in the buffer.
func (s *splitter) buffered() (k kind, payload []byte, ok bool, err error) {
	have := s.hi - s.lo
	if have < headerSize {
		return 0, nil, false, nil
	}
	n := int64(binary.LittleEndian.Uint32(s.buf[s.lo:]))
	if n < 1 || n > int64(s.limit) {
		return 0, nil, false, &frameError{fmt.Sprintf("length %d, want 1 to %d", n, s.limit)}
	}
	if int64(have) < headerSize+n {
		return 0, nil, false, nil
	}
	frame := s.buf[s.lo+headerSize : s.lo+headerSize+int(n)]
	s.lo += headerSize + int(n)
	return kind(frame[0]), frame[1:], true, nil
}

// keepBuffer is the size beyond which a buffer is given back once the large
// frame that it was made for is through.
const keepBuffer = 1 << 20

// fill reads once. It makes room first: a buffer grows as the bytes of a large
// frame arrive, not because its length says so.
func (s *splitter) fill() error {
	switch {
	case s.lo == s.hi:
		s.lo, s.hi = 0, 0
		if len(s.buf) > keepBuffer {
			s.buf = make([]byte, 64<<10)
		}
	case s.hi == len(s.buf) && s.lo > 0:
		s.hi = copy(s.buf, s.buf[s.lo:s.hi])
		s.lo = 0
	}
	if s.hi == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	n, err := s.r.Read(s.buf[s.hi:])
	s.hi += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}
