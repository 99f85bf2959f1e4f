package statuspage

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"starplan/internal/history"
)

// rendered is HTML that came out of one of the templates.
type rendered = template.HTML

const (
	// beat is how often a stream that has nothing to say shows that it lives.
	beat = 15 * time.Second
	// patience is how long a write to a reader may take.
	patience = 10 * time.Second
)

// patch is one event of a stream. The script puts it in place.
type patch struct {
	// Regions are the new contents of elements by id.
	Regions map[string]rendered `json:"regions,omitempty"`
	// Rows go on top of the table of executions, or take the place of all of them.
	Rows  rendered `json:"rows,omitempty"`
	Reset bool     `json:"reset,omitempty"`
	// Announce is for those who hear the page.
	Announce string `json:"announce,omitempty"`
}

// position names a place in the order of executions. It is the id of an event.
func (p *Page) position(seq uint64) string { return p.start + "." + strconv.FormatUint(seq, 10) }

// after reads a position. It is false for one that another process gave.
func (p *Page) after(position string) (seq uint64, ok bool) {
	start, number, _ := strings.Cut(position, ".")
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil && start == p.start
}

// events answers "/events": the page's changes from a position on.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		http.Error(w, "too many pages are kept up to date already", http.StatusServiceUnavailable)
		return
	}
	position := r.URL.Query().Get("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		position = last // A connection that broke.
	}
	s := stream{page: p, filter: f, out: w, control: http.NewResponseController(w), shown: make(map[string]rendered)}
	var known bool
	s.filter.After, known = p.after(position)
	s.reset = !known
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	ticker := time.NewTicker(p.opts.Every)
	defer ticker.Stop()
	for {
		if err := s.step(); err != nil {
			p.log.Debug("status page stream ended", "err", err)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.closed:
			return
		case <-ticker.C:
		}
	}
}

// stream is one page that is kept up to date.
type stream struct {
	page    *Page
	filter  history.Filter // After is what the page has.
	out     http.ResponseWriter
	control *http.ResponseController
	shown   map[string]rendered
	reset   bool
	seen    regions
	begun   bool
	spoke   time.Time
}

// step sends what has changed since the last step.
func (s *stream) step() error {
	change, err := s.changes()
	if err != nil {
		return err
	}
	var text string
	switch {
	case change != nil:
		data, err := json.Marshal(change)
		if err != nil {
			return err
		}
		text = fmt.Sprintf("id: %s\ndata: %s\n\n", s.page.position(s.filter.After), data)
	case time.Since(s.spoke) > beat:
		text = ":\n\n"
	default:
		return nil
	}
	s.spoke = time.Now()
	// The server of a test may know no deadlines; a real one does.
	_ = s.control.SetWriteDeadline(s.spoke.Add(patience))
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// changes gives nil where nothing has changed.
func (s *stream) changes() (*patch, error) {
	var c patch
	r := s.page.regions(s.filter.Plan)
	for id, text := range r.all() {
		if s.shown[id] != text {
			s.shown[id] = text
			if c.Regions == nil {
				c.Regions = make(map[string]rendered)
			}
			c.Regions[id] = text
		}
	}
	newest := s.page.opts.History.Last()
	var failed int
	if newest != s.filter.After || s.reset {
		if s.reset {
			s.filter.After = 0
		}
		rows := s.page.opts.History.Executions(s.filter)
		for _, x := range rows {
			if x.Status == history.Failed {
				failed++
			}
		}
		text, err := render("rows", rowsData{Rows: rows})
		if err != nil {
			return nil, err
		}
		c.Rows, c.Reset, s.reset = rendered(text), s.reset, false
		s.filter.After = newest
		if len(rows) > 0 {
			s.filter.After = max(newest, rows[0].Seq)
		}
	}
	c.Announce = s.announce(r, failed)
	s.seen, s.begun = r, true
	if c.Regions == nil && c.Rows == "" && !c.Reset && c.Announce == "" {
		return nil, nil
	}
	return &c, nil
}

// announce puts into words what those should hear who do not see the page:
// failures and changes of state, not each execution.
func (s *stream) announce(r regions, failed int) string {
	var list []string
	if s.begun && r.ready != s.seen.ready {
		if r.ready {
			list = append(list, "The service is ready.")
		} else {
			list = append(list, "The service is not ready.")
		}
	}
	if s.begun && r.faults != s.seen.faults {
		switch r.faults {
		case 0:
			list = append(list, "All plans are loaded.")
		case 1:
			list = append(list, "One plan could not be loaded.")
		default:
			list = append(list, fmt.Sprintf("%d plans could not be loaded.", r.faults))
		}
	}
	switch {
	case failed == 1 && s.begun:
		list = append(list, "An execution failed.")
	case failed > 1 && s.begun:
		list = append(list, fmt.Sprintf("%d executions failed.", failed))
	}
	return strings.Join(list, " ")
}

type rowsData struct {
	Rows []*history.Execution
	Base string
}
