package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"starplan/internal/pbjson"
	"starplan/internal/plantest"
	"starplan/proto/planpb"
)

// maxInput bounds one PlanInput, in bytes: no broker takes more.
const maxInput = 64 << 20

// input is one PlanInput.
type input struct {
	// label says where it came from, as "inputs.jsonl:7".
	label string
	// value is the serialized form. Binary input is passed on as it is, valid or
	// not, since that is what a record would hold.
	value []byte
}

// eachInput reads PlanInputs one at a time: those of files, "-" being standard
// input, and of the files of directories. A file holds one as JSON or as the bytes
// of a record, or many as JSON, mostly one a line. The error is a usageError; after
// one there is nothing more.
func eachInput(paths []string, stdin io.Reader) iter.Seq2[input, error] {
	return func(yield func(input, error) bool) {
		for _, path := range paths {
			for in, err := range inputsOf(path, stdin) {
				if err != nil {
					yield(input{}, usageError{err})
					return
				}
				if !yield(in, nil) {
					return
				}
			}
		}
	}
}

// inputEndings are those of files of inputs. Wants lie beside the inputs of golden
// cases.
var inputEndings = []string{".json", ".jsonl", ".ndjson", ".bin", ".pb"}

// inputsOf reads the inputs of a path.
func inputsOf(path string, stdin io.Reader) iter.Seq2[input, error] {
	if path == "-" {
		return fileInputs("standard input", stdin)
	}
	return func(yield func(input, error) bool) {
		info, err := os.Stat(path)
		if err != nil {
			yield(input{}, err)
			return
		}
		files := []string{path}
		if info.IsDir() {
			if files, err = inputFiles(path); err != nil {
				yield(input{}, err)
				return
			}
		}
		for _, file := range files {
			if !eachOfFile(file, yield) {
				return
			}
		}
	}
}

// eachOfFile reads the inputs of one file. It reports whether to go on.
func eachOfFile(path string, yield func(input, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		yield(input{}, err)
		return false
	}
	defer func() { _ = f.Close() }() // It was only read.
	for in, err := range fileInputs(path, f) {
		if !yield(in, err) || err != nil {
			return false
		}
	}
	return true
}

// inputFiles lists the files of inputs that lie in a directory itself, by name.
func inputFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() && slices.Contains(inputEndings, filepath.Ext(name)) && !strings.HasSuffix(name, plantest.WantSuffix) {
			files = append(files, filepath.Join(dir, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: holds no inputs: want files that end in %s", dir, strings.Join(inputEndings, ", "))
	}
	return files, nil
}

// fileInputs reads the inputs of a file whose name is for labels.
func fileInputs(name string, r io.Reader) iter.Seq2[input, error] {
	return func(yield func(input, error) bool) {
		buffered := bufio.NewReaderSize(r, 64<<10)
		space, first, err := skipSpace(buffered)
		all := io.MultiReader(bytes.NewReader(space), buffered)
		switch {
		case err != nil:
			yield(input{}, fmt.Errorf("%s: %w", name, err))
		case first == '{':
			jsonInputs(name, all, yield)
		case first == '[': // No PlanInput begins so on the wire.
			yield(input{}, fmt.Errorf("%s: want a PlanInput, or several that follow each other, got a list; jq -c '.[]' takes it apart", name))
		default:
			value, err := io.ReadAll(io.LimitReader(all, maxInput+1))
			if err == nil && len(value) > maxInput {
				err = errTooLarge
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			yield(input{name, value}, err)
		}
	}
}

// skipSpace reads the space before a text, and gives the first byte of that; 0 where
// there is none.
func skipSpace(r *bufio.Reader) (space []byte, first byte, err error) {
	for len(space) < maxInput {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return space, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if bytes.IndexByte([]byte(" \t\r\n"), b) < 0 {
			return space, b, r.UnreadByte()
		}
		space = append(space, b)
	}
	return space, 0, nil
}

// jsonInputs reads JSON objects that follow each other, in constant memory.
func jsonInputs(name string, r io.Reader, yield func(input, error) bool) {
	lines := &lineReader{r: r, room: maxInput}
	dec := json.NewDecoder(lines)
	for n := 0; ; n++ {
		lines.room = maxInput
		var text json.RawMessage
		if err := dec.Decode(&text); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("it ends in the middle of a JSON object")
			}
			yield(input{}, fmt.Errorf("%s:%d: %w", name, lines.at(dec.InputOffset()), err))
			return
		}
		label := name
		if line := lines.at(dec.InputOffset()) - bytes.Count(text, []byte("\n")); n > 0 || dec.More() {
			label = fmt.Sprintf("%s:%d", name, line)
		}
		value, err := serialize(text)
		if err != nil {
			err = fmt.Errorf("%s: %w", label, err)
		}
		if !yield(input{label, value}, err) || err != nil {
			return
		}
	}
}

// serialize gives the bytes of a PlanInput in JSON.
func serialize(text []byte) ([]byte, error) {
	in := new(planpb.PlanInput)
	if err := pbjson.Unmarshal(text, in); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(in)
}

var errTooLarge = fmt.Errorf("want an input of at most %d bytes", maxInput)

// lineReader tells on which line an offset lies, and bounds how much is read at a
// time.
type lineReader struct {
	r        io.Reader
	room     int
	read     int64
	newlines []int64 // Offsets of those that at has not passed.
	passed   int
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.room <= 0 {
		return 0, errTooLarge
	}
	n, err := l.r.Read(p[:min(len(p), l.room)])
	for i, b := range p[:n] {
		if b == '\n' {
			l.newlines = append(l.newlines, l.read+int64(i))
		}
	}
	l.read += int64(n)
	l.room -= n
	return n, err
}

// at gives the line of an offset, counted from 1. Offsets must not go back.
func (l *lineReader) at(offset int64) int {
	n, _ := slices.BinarySearch(l.newlines, offset)
	l.newlines = l.newlines[n:]
	l.passed += n
	return l.passed + 1
}
