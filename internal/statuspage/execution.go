package statuspage

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/proto"

	"starplan/internal/history"
	"starplan/internal/pbjson"
	"starplan/proto/planpb"
)

// execution answers "/executions/{id}".
func (p *Page) execution(w http.ResponseWriter, r *http.Request) {
	x, payloads := p.opts.History.Find(r.PathValue("id"))
	if x == nil {
		message := fmt.Sprintf("No execution %q is remembered: the page shows the last %d, and the last %d that failed, since the service started.",
			short(r.PathValue("id"), 60), history.Executions, history.Executions)
		p.html(w, http.StatusNotFound, "problem", problemData{p.frame("Not found", "../"), message})
		return
	}
	data := executionData{frame: p.frame(short(x.Plan, 60)+" "+string(x.Status), "../"), Execution: x, ShowPayloads: p.opts.ShowPayloads}
	if p.opts.ShowPayloads && payloads != nil {
		data.Kept = true
		data.Input = view("Input", payloads.Input, new(planpb.PlanInput))
		data.Output = view("Output", payloads.Output, new(planpb.PlanExecution))
		data.Prints = payloads.Prints
	}
	p.html(w, http.StatusOK, "execution", data)
}

type executionData struct {
	frame
	*history.Execution
	ShowPayloads, Kept bool
	Input, Output      payload
	Prints             []string
}

// payload is a message as it is shown.
type payload struct {
	// Name is what it is to the execution, "Input" or "Output".
	Name string
	// Text is indented JSON, or a dump of the bytes where Err says why that is all.
	Text string
	Err  string
	// TooLarge: it was not kept.
	TooLarge bool
}

// maxDump is how many bytes are dumped of what is no message.
const maxDump = 1 << 10

func view(name string, b []byte, m proto.Message) payload {
	if b == nil {
		return payload{Name: name, TooLarge: true}
	}
	text, err := toJSON(b, m)
	if err != nil {
		return payload{Name: name, Text: hex.Dump(b[:min(len(b), maxDump)]), Err: err.Error()}
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return payload{Name: name, Text: string(text), Err: err.Error()}
	}
	return payload{Name: name, Text: indented.String()}
}

// toJSON decodes a message into m and renders it.
func toJSON(b []byte, m proto.Message) ([]byte, error) {
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, err
	}
	return pbjson.Marshal(m)
}
