// Package scripts holds sample plans that a platform would really have, each
// with inputs and the executions that they must give. It is documentation that
// is tested.
//
// A plan is a directory:
//
//	NAME/plan.star         the plan; its docstring says what it decides
//	NAME/*.star            modules that it loads
//	NAME/CASE.input.json   a PlanInput, as JSON with proto field names
//	NAME/CASE.want.json    the PlanExecution that answers it
//
// The tree is embedded, so that the plans are at hand where there is no checkout;
// the same layout is read from any other directory by [Read]. It is also a
// PLAN_PATH as it stands.
//
// To add a case, write its input, run
//
//	go test ./scripts -update
//
// and read the want file that it wrote: it holds what the plan decided, and only
// a person can say whether that is what it ought to decide.
package scripts

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"starplan/internal/pbjson"
	"starplan/plan/execution"
	"starplan/proto/planpb"
)

//go:embed */*.star */*.json
var tree embed.FS

// Tenant is the tenant of every sample.
const Tenant = "sample"

// The coordinates that a sample's record has wherever none are given: want files
// depend on them through exec_id and created_at.
const (
	topic     = "plan-inputs-" + Tenant
	partition = 0
)

var timestamp = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

const (
	inputSuffix = ".input.json"
	wantSuffix  = ".want.json"
)

// Sample is one input of a plan and the execution that must answer it.
type Sample struct {
	// Plan is the plan's name, which is its directory's.
	Plan string
	// Case names the sample; it is unique within the plan.
	Case string
	// Index is the case's place among the plan's cases in order of name, from 0.
	Index int
	// Input is a PlanInput as JSON.
	Input []byte
	// Want is a PlanExecution as JSON; nil where there is no want file.
	Want []byte
}

// Samples gives the embedded samples in order of plan and case.
func Samples() ([]Sample, error) { return Read(tree) }

// Read gives the samples of a directory of plans, in order of plan and case.
// Plans without any give none. A want file without its input is an error.
func Read(fsys fs.FS) ([]Sample, error) { return read(fsys, "*") }

// ReadPlan gives the samples of one plan of such a directory, like Read.
func ReadPlan(fsys fs.FS, name string) ([]Sample, error) {
	return read(fsys, globMeta.Replace(name))
}

// globMeta takes their meaning from the characters that patterns are made of.
var globMeta = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`)

func read(fsys fs.FS, plans string) ([]Sample, error) {
	inputs, err := fs.Glob(fsys, plans+"/*"+inputSuffix)
	if err != nil {
		return nil, fmt.Errorf("scripts: %w", err)
	}
	wants, err := fs.Glob(fsys, plans+"/*"+wantSuffix)
	if err != nil {
		return nil, fmt.Errorf("scripts: %w", err)
	}
	orphans := make(map[string]bool, len(wants))
	for _, name := range wants {
		orphans[name] = true
	}
	index := make(map[string]int)
	samples := make([]Sample, 0, len(inputs))
	for _, name := range inputs {
		s := Sample{
			Plan: path.Dir(name),
			Case: strings.TrimSuffix(path.Base(name), inputSuffix),
		}
		s.Index = index[s.Plan]
		index[s.Plan]++
		if s.Input, err = fs.ReadFile(fsys, name); err != nil {
			return nil, fmt.Errorf("scripts: %w", err)
		}
		want := path.Join(s.Plan, s.Case+wantSuffix)
		delete(orphans, want)
		if s.Want, err = fs.ReadFile(fsys, want); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("scripts: %w", err)
		}
		samples = append(samples, s)
	}
	for _, name := range wants {
		if orphans[name] {
			return nil, fmt.Errorf("scripts: %s: no input %s beside it", name, strings.TrimSuffix(path.Base(name), wantSuffix)+inputSuffix)
		}
	}
	return samples, nil
}

// Unpack writes the embedded plans and their samples below dir, which is created
// where it is missing. It overwrites nothing: a file that is there already is an
// error that wraps [fs.ErrExist].
func Unpack(dir string) error {
	if err := os.CopyFS(dir, tree); err != nil {
		return fmt.Errorf("scripts: unpack: %w", err)
	}
	return nil
}

// String names the sample as "plan/case".
func (s Sample) String() string { return s.Plan + "/" + s.Case }

// Record gives the sample as a record of [Tenant]'s input topic: at offset
// Index of partition 0, written on 2026-01-02 at 03:04:05.678 UTC. Its key is the
// plan's name, after the graph's where the input has a graph_id.
func (s Sample) Record() (execution.Record, error) {
	in := new(planpb.PlanInput)
	if err := pbjson.Unmarshal(s.Input, in); err != nil {
		return execution.Record{}, fmt.Errorf("scripts: input of %v: %w", s, err)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return execution.Record{}, fmt.Errorf("scripts: input of %v: %w", s, err)
	}
	return execution.Record{
		Topic:     topic,
		Partition: partition,
		Offset:    int64(s.Index),
		Timestamp: timestamp,
		Key:       []byte(execution.Key{Graph: in.GetGraphId(), Plan: s.Plan}.String()),
		Value:     value,
	}, nil
}
