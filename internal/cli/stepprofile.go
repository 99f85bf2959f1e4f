package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/google/pprof/profile"

	"starplan/plan/inspect"
)

// stepProfile gathers the steps of runs in the form of pprof.
type stepProfile struct {
	dir       string // Where the plan's modules lie.
	profile   *profile.Profile
	functions map[inspect.Place]*profile.Function // By place without line.
	locations map[inspect.Place]*profile.Location
	samples   map[string]*profile.Sample // By the numbers of their locations.
}

func newStepProfile(dir string) *stepProfile {
	steps := &profile.ValueType{Type: "steps", Unit: "count"}
	return &stepProfile{
		dir:       dir,
		profile:   &profile.Profile{SampleType: []*profile.ValueType{steps}, PeriodType: steps, Period: 1, DefaultSampleType: "steps"},
		functions: make(map[inspect.Place]*profile.Function),
		locations: make(map[inspect.Place]*profile.Location),
		samples:   make(map[string]*profile.Sample),
	}
}

// add counts the steps of a line.
func (p *stepProfile) add(s inspect.Sample) {
	key := ""
	var stack []*profile.Location
	for _, place := range s.Stack {
		l := p.location(place)
		stack = append(stack, l)
		key += fmt.Sprint(l.ID, " ")
	}
	sample := p.samples[key]
	if sample == nil {
		sample = &profile.Sample{Location: stack, Value: []int64{0}}
		p.samples[key] = sample
		p.profile.Sample = append(p.profile.Sample, sample)
	}
	sample.Value[0] += int64(s.Steps)
}

func (p *stepProfile) location(place inspect.Place) *profile.Location {
	if l, ok := p.locations[place]; ok {
		return l
	}
	key := place
	key.Line = 0
	fn := p.functions[key]
	if fn == nil {
		fn = &profile.Function{
			ID: uint64(len(p.functions) + 1), Name: place.Function, SystemName: place.Function,
			Filename: filepath.Join(p.dir, filepath.FromSlash(place.Module)), StartLine: int64(place.Start),
		}
		p.functions[key] = fn
		p.profile.Function = append(p.profile.Function, fn)
	}
	l := &profile.Location{ID: uint64(len(p.locations) + 1), Line: []profile.Line{{Function: fn, Line: int64(place.Line)}}}
	p.locations[place] = l
	p.profile.Location = append(p.profile.Location, l)
	return l
}

// write writes the profile. The same runs in the same order give the same bytes.
func (p *stepProfile) write(w io.Writer) error {
	if err := p.profile.CheckValid(); err != nil {
		return err
	}
	return p.profile.Write(w)
}
