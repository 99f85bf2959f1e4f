package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"

	"starplan/internal/pbjson"
	"starplan/proto/planpb"
)

// maxInput bounds one PlanInput file: no broker takes more.
const maxInput = 64 << 20

// readInput reads a PlanInput, as JSON or as the bytes of a record; "-" is
// standard input. It gives the serialized form; binary input is passed on as it
// is, valid or not, since that is what a record would hold.
func readInput(path string, stdin io.Reader) ([]byte, error) {
	text, err := readAll(path, stdin)
	if err != nil {
		return nil, usageError{err}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return text, nil
	}
	in := new(planpb.PlanInput)
	if err := pbjson.Unmarshal(text, in); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return value, nil
}

func readAll(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		path = "standard input"
	} else {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // It was only read.
		stdin = f
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("%s: want at most %d bytes", path, maxInput)
	}
	return text, nil
}
