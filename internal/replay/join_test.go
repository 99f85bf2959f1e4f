package replay

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"starplan/plan/execution"
	"starplan/proto/planpb"
)

// TestJoiner brings streams together that are in any disorder within a partition:
// the counts are those of the whole, and what waits is forgotten with its
// partition.
func TestJoiner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		aligned := rapid.Bool().Draw(t, "aligned")
		var ran []pair
		var executions []recorded
		missing, same, different := 0, 0, 0
		for p := range int32(3) {
			n := rapid.IntRange(0, 8).Draw(t, "inputs")
			var r []pair
			var e []recorded
			for o := range n {
				id := fmt.Sprint(p, "-", o)
				in := pair{rec: execution.Record{Partition: p, Offset: int64(o)}, id: id, after: message(id, "a")}
				r = append(r, in)
				switch rapid.IntRange(0, 3).Draw(t, "answer") {
				case 0:
					missing++
				case 1:
					different++
					e = append(e, recorded{p, id, message(id, "b")})
				default:
					same++
					e = append(e, recorded{p, id, in.after})
					if rapid.Bool().Draw(t, "twice") {
						e = append(e, recorded{p, id, in.after})
					}
				}
			}
			for range rapid.IntRange(0, 2).Draw(t, "strangers") {
				e = append(e, recorded{p, fmt.Sprint("s", p), message("s", "c")})
			}
			ran = append(ran, rapid.Permutation(r).Draw(t, "order of inputs")...)
			executions = append(executions, rapid.Permutation(e).Draw(t, "order of executions")...)
		}
		j := newJoiner(newReport("p"), aligned)
		for len(ran) > 0 || len(executions) > 0 {
			if len(executions) == 0 || len(ran) > 0 && rapid.Bool().Draw(t, "input next") {
				j.ran(ran[0])
				ran = ran[1:]
				continue
			}
			j.recorded(executions[0])
			executions = executions[1:]
		}
		if aligned {
			for _, p := range j.inputs {
				if p.rec.Partition < j.reached {
					t.Fatalf("%s waits, and the executions of its partition are over", p.id)
				}
			}
		}
		j.close()
		r := j.report
		got := []int{r.Inputs, r.Same, r.Different, r.Missing}
		if diff := cmp.Diff([]int{missing + same + different, same, different, missing}, got); diff != "" {
			t.Fatalf("inputs, same, different, missing (-want +got):\n%s", diff)
		}
	})
}

func message(id, next string) []byte {
	value, err := proto.Marshal(&planpb.PlanExecution{
		Header: &planpb.ExecutionHeader{Name: "p", ExecId: id}, Result: &planpb.PlanResult{NextTaskNames: []string{next}},
	})
	if err != nil {
		panic(err)
	}
	return value
}

// FuzzExecID reads exec_id of any bytes as protobuf does.
func FuzzExecID(f *testing.F) {
	f.Add(message("one", "a"))
	f.Add(append(message("one", "a"), message("two", "b")...))
	f.Add([]byte{0x0a, 0x02, 0x12, 0x05})
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := execID(value)
		var e planpb.PlanExecution
		if proto.Unmarshal(value, &e) != nil {
			return // Faults elsewhere show when messages are compared.
		}
		want := e.GetHeader().GetExecId()
		if got != want || (err == nil) != (want != "") {
			t.Errorf("execID(%x) = %q, %v, want %q", value, got, err, want)
		}
	})
}
