package starlarkpb_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.starlark.net/starlark"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"starplan/proto/planpb"
	"starplan/starlarkpb"
)

// call calls a method by name.
func call(v starlark.Value, name string, args ...starlark.Value) (starlark.Value, error) {
	attrs, ok := v.(starlark.HasAttrs)
	if !ok {
		return nil, fmt.Errorf("%s has no attributes", v.Type())
	}
	f, err := attrs.Attr(name)
	if err != nil || f == nil {
		return nil, fmt.Errorf("no %s: %w", name, err)
	}
	return starlark.Call(new(starlark.Thread), f, args, nil)
}

// walker goes wherever a script can get, and tries to change what it finds.
type walker struct {
	t     *rapid.T
	pool  []starlark.Value // what was found
	types []*starlarkpb.Type
}

func (w *walker) pick() starlark.Value {
	return w.pool[rapid.IntRange(0, len(w.pool)-1).Draw(w.t, "value")]
}

// step does one thing with one value and keeps what it gives.
func (w *walker) step() {
	v := w.pick()
	switch v := v.(type) {
	case starlark.HasSetField:
		w.message(v)
	case starlark.Indexable:
		w.sequence(v)
	case starlark.HasSetKey:
		if got, ok, err := v.Get(w.pick()); ok && err == nil {
			w.keep(got)
		}
		_ = v.SetKey(w.pick(), w.pick())
		if v, ok := v.(starlark.HasAttrs); ok {
			w.call(v)
		}
	}
}

func (w *walker) keep(v starlark.Value) {
	if v != nil && len(w.pool) < 200 {
		w.pool = append(w.pool, v)
	}
}

func (w *walker) message(v starlark.HasSetField) {
	name := rapid.SampledFrom(v.AttrNames()).Draw(w.t, "field")
	switch rapid.IntRange(0, 3).Draw(w.t, "do") {
	case 0:
		_ = v.SetField(name, w.pick())
	case 1:
		w.call(v)
	case 2: // A copy, which may be changed.
		for _, typ := range w.types {
			if typ.Name() != v.Type() {
				continue
			}
			m, err := starlark.Call(new(starlark.Thread), typ, nil, nil)
			if err != nil {
				w.t.Fatalf("%s(): %v", typ.Name(), err)
			}
			_, _ = call(m, "CopyFrom", v)
			w.keep(m)
		}
	default:
		if got, err := v.Attr(name); err == nil {
			w.keep(got)
		}
	}
}

func (w *walker) sequence(v starlark.Indexable) {
	if v, ok := v.(starlark.HasAttrs); ok {
		w.call(v)
	}
	if v.Len() == 0 {
		return
	}
	i := rapid.IntRange(0, v.Len()-1).Draw(w.t, "index")
	w.keep(v.Index(i))
	if v, ok := v.(starlark.HasSetIndex); ok {
		_ = v.SetIndex(i, w.pick())
	}
	if v, ok := v.(starlark.Sliceable); ok && rapid.Bool().Draw(w.t, "slice") {
		w.keep(v.Slice(0, i, 1))
	}
}

func (w *walker) call(v starlark.HasAttrs) {
	names := v.AttrNames()
	if len(names) == 0 {
		return
	}
	name := rapid.SampledFrom(names).Draw(w.t, "method")
	var args []starlark.Value
	for range rapid.IntRange(0, 2).Draw(w.t, "args") {
		args = append(args, w.pick())
	}
	if f, err := v.Attr(name); err == nil && f != nil {
		if f, ok := f.(starlark.Callable); ok {
			if got, err := starlark.Call(new(starlark.Thread), f, args, nil); err == nil {
				w.keep(got)
			}
		}
	}
}

func planTypes() []*starlarkpb.Type {
	return []*starlarkpb.Type{
		starlarkpb.Constructor((*planpb.PlanResult)(nil)),
		starlarkpb.Constructor((*planpb.PlanExecution)(nil)),
		starlarkpb.Constructor((*planpb.TaskExecution)(nil)),
		starlarkpb.Constructor((*planpb.TaskResult)(nil)),
		starlarkpb.Constructor((*planpb.StoredData)(nil)),
		starlarkpb.Constructor((*planpb.PlanInput)(nil)),
		starlarkpb.Constructor((*anypb.Any)(nil)),
	}
}

// Whatever a script does with an input, and with copies made of it, the input's
// bytes stay, and so does what its value says.
func TestFrozenInputNeverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := sampleInput()
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		value := starlarkpb.FromProto(in)
		text := value.String()
		w := &walker{t: t, types: planTypes(), pool: []starlark.Value{
			value, value, starlark.None, starlark.String("x"), starlark.MakeInt(1), starlark.Bytes("b"),
			starlark.String("metadata"), starlark.String("result"), starlark.String("header"),
		}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			w.step()
		}
		for _, v := range w.pool {
			if m, ok := v.(*starlarkpb.Message); ok {
				if _, err := proto.Marshal(m.Proto()); err != nil {
					t.Fatalf("Marshal(%v): %v", m, err)
				}
			}
		}
		if got, _ := (proto.MarshalOptions{Deterministic: true}).Marshal(in); !bytes.Equal(got, want) {
			t.Fatalf("input changed: got %x, want %x", got, want)
		}
		if got := value.String(); got != text {
			t.Fatalf("value changed: got %s, want %s", got, text)
		}
	})
}

// A repeated field of strings behaves as a slice does.
func TestRepeatedIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := starlark.Call(new(starlark.Thread), planTypes()[0], nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := m.(*starlarkpb.Message).Attr("next_task_names")
		if err != nil {
			t.Fatal(err)
		}
		r := v.(*starlarkpb.Repeated)
		var model []string
		word := rapid.StringMatching(`[a-c]{1,2}`)
		must := func(_ starlark.Value, err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				s := word.Draw(t, "s")
				must(call(r, "append", starlark.String(s)))
				model = append(model, s)
			},
			"extend": func(t *rapid.T) {
				words := rapid.SliceOfN(word, 0, 4).Draw(t, "words")
				must(call(r, "extend", stringList(words)))
				model = append(model, words...)
			},
			"insert": func(t *rapid.T) {
				i, s := rapid.IntRange(-9, 9).Draw(t, "i"), word.Draw(t, "s")
				must(call(r, "insert", starlark.MakeInt(i), starlark.String(s)))
				if i < 0 {
					i = max(0, i+len(model))
				}
				model = slices.Insert(model, min(i, len(model)), s)
			},
			"pop": func(t *rapid.T) {
				i := rapid.IntRange(-5, 5).Draw(t, "i")
				got, err := call(r, "pop", starlark.MakeInt(i))
				if i < 0 {
					i += len(model)
				}
				if i < 0 || i >= len(model) {
					if err == nil {
						t.Fatalf("pop(%d) = %v, want an error", i, got)
					}
					return
				}
				if err != nil || got != starlark.String(model[i]) {
					t.Fatalf("pop(%d) = %v, %v, want %q", i, got, err, model[i])
				}
				model = slices.Delete(model, i, i+1)
			},
			"remove": func(t *rapid.T) {
				s := word.Draw(t, "s")
				_, err := call(r, "remove", starlark.String(s))
				i := slices.Index(model, s)
				if (err == nil) != (i >= 0) {
					t.Fatalf("remove(%q): %v, model %q", s, err, model)
				}
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			},
			"assign": func(t *rapid.T) {
				words := rapid.SliceOfN(word, 0, 4).Draw(t, "words")
				must(nil, m.(*starlarkpb.Message).SetField("next_task_names", stringList(words)))
				model = words
			},
			"slice": func(t *rapid.T) {
				i := rapid.IntRange(0, len(model)).Draw(t, "i")
				step := rapid.IntRange(1, 3).Draw(t, "step")
				var want []string
				for j := i; j < len(model); j += step {
					want = append(want, model[j])
				}
				if same, err := starlark.Equal(r.Slice(i, len(model), step), stringList(want)); !same || err != nil {
					t.Fatalf("slice = %v, %v, want %q", r.Slice(i, len(model), step), err, want)
				}
			},
			"": func(t *rapid.T) {
				got := m.(*starlarkpb.Message).Proto().(*planpb.PlanResult).GetNextTaskNames()
				if !slices.Equal(got, model) || r.Len() != len(model) {
					t.Fatalf("got %q, want %q", got, model)
				}
			},
		})
	})
}

func stringList(words []string) *starlark.List {
	elems := make([]starlark.Value, len(words))
	for i, s := range words {
		elems[i] = starlark.String(s)
	}
	return starlark.NewList(elems)
}

// Copying in effect: a value and a Go message on which the same is done, with
// every copy a deep one, stay the same.
func TestMessageAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := sampleInput()
		inputs, err := starlarkpb.FromProto(in).Attr("task_executions")
		if err != nil {
			t.Fatal(err)
		}
		v, err := starlark.Call(new(starlark.Thread), planTypes()[0], nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		x := &pair{t: t, m: v.(*starlarkpb.Message), model: new(planpb.PlanResult)}
		results := func() starlark.Value { return x.attr(x.m, "upstream_tasks_results") }
		at := func(t *rapid.T) (*starlarkpb.Message, *planpb.TaskResult) {
			if len(x.model.UpstreamTasksResults) == 0 {
				t.Skip("no elements")
			}
			i := rapid.IntRange(0, len(x.model.UpstreamTasksResults)-1).Draw(t, "at")
			return results().(starlark.Indexable).Index(i).(*starlarkpb.Message), x.model.UpstreamTasksResults[i]
		}
		t.Repeat(map[string]func(*rapid.T){
			"append input": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "i")
				elem := x.attr(inputs.(*starlark.List).Index(i), "result")
				x.call(results(), "append", elem)
				r := in.TaskExecutions[i].GetResult()
				if r == nil {
					r = new(planpb.TaskResult)
				}
				x.model.UpstreamTasksResults = append(x.model.UpstreamTasksResults, proto.CloneOf(r))
			},
			"append own": func(t *rapid.T) {
				m, model := at(t)
				x.call(results(), "append", m)
				x.model.UpstreamTasksResults = append(x.model.UpstreamTasksResults, proto.CloneOf(model))
			},
			"set id": func(t *rapid.T) {
				m, model := at(t)
				model.Id = rapid.StringMatching(`[a-z]{0,2}`).Draw(t, "id")
				x.set(m, "id", starlark.String(model.Id))
			},
			"set uri": func(t *rapid.T) {
				m, model := at(t)
				uri := rapid.StringMatching(`[a-z]{0,2}`).Draw(t, "uri")
				x.set(x.attr(m, "external_data"), "uri", starlark.String(uri))
				external(model).Uri = uri
			},
			"set metadata": func(t *rapid.T) {
				m, model := at(t)
				k := rapid.SampledFrom([]string{"a", "b", "size"}).Draw(t, "k")
				x.call(x.attr(x.attr(m, "external_data"), "metadata"), "update", dictOf(k, "new"))
				e := external(model)
				if e.Metadata == nil {
					e.Metadata = map[string]string{}
				}
				e.Metadata[k] = "new"
			},
			"set type_url": func(t *rapid.T) {
				m, model := at(t)
				x.set(x.attr(m, "inline_data"), "type_url", starlark.String("u"))
				if model.GetInlineData() == nil {
					model.Data = &planpb.TaskResult_InlineData{InlineData: new(anypb.Any)}
				}
				model.GetInlineData().TypeUrl = "u"
			},
			"copy element": func(t *rapid.T) {
				m, model := at(t)
				from, fromModel := at(t)
				x.call(m, "CopyFrom", from)
				if model != fromModel {
					proto.Reset(model)
					proto.Merge(model, fromModel)
				}
			},
			"clear data": func(t *rapid.T) {
				m, model := at(t)
				x.call(m, "ClearField", starlark.String("data"))
				model.Data = nil
			},
			"pop": func(t *rapid.T) {
				if len(x.model.UpstreamTasksResults) == 0 {
					t.Skip("no elements")
				}
				x.call(results(), "pop", starlark.MakeInt(0))
				x.model.UpstreamTasksResults = x.model.UpstreamTasksResults[1:]
			},
			"assign reversed": func(*rapid.T) {
				list := results().(starlark.Sliceable)
				x.set(x.m, "upstream_tasks_results", list.Slice(list.Len()-1, -1, -1))
				reversed := make([]*planpb.TaskResult, 0, list.Len())
				for _, r := range slices.Backward(x.model.UpstreamTasksResults) {
					reversed = append(reversed, r)
				}
				x.model.UpstreamTasksResults = reversed
			},
			"look": func(*rapid.T) { _ = x.m.String() },
			"": func(t *rapid.T) {
				if got := x.m.Proto(); !proto.Equal(got, x.model) {
					t.Fatalf("(-want +got):\n%s", cmp.Diff(x.model, got, protocmp.Transform()))
				}
			},
		})
		if want := sampleInput(); !proto.Equal(in, want) {
			t.Fatalf("input changed (-want +got):\n%s", cmp.Diff(want, in, protocmp.Transform()))
		}
	})
}

// pair is a value and the Go message that it should be like.
type pair struct {
	t     *rapid.T
	m     *starlarkpb.Message
	model *planpb.PlanResult
}

func (x *pair) attr(v starlark.Value, name string) starlark.Value {
	got, err := v.(starlark.HasAttrs).Attr(name)
	if err != nil {
		x.t.Fatal(err)
	}
	return got
}

func (x *pair) set(v starlark.Value, name string, val starlark.Value) {
	if err := v.(starlark.HasSetField).SetField(name, val); err != nil {
		x.t.Fatal(err)
	}
}

func (x *pair) call(v starlark.Value, name string, args ...starlark.Value) {
	if _, err := call(v, name, args...); err != nil {
		x.t.Fatal(err)
	}
}

func external(r *planpb.TaskResult) *planpb.StoredData {
	if r.GetExternalData() == nil {
		r.Data = &planpb.TaskResult_ExternalData{ExternalData: new(planpb.StoredData)}
	}
	return r.GetExternalData()
}

func dictOf(k, v string) *starlark.Dict {
	d := starlark.NewDict(1)
	_ = d.SetKey(starlark.String(k), starlark.String(v))
	return d
}
