// Package statuspage is what people see of a running service in a browser, and
// the JSON API behind it.
//
//	GET /                          the page: service, graphs, plans, executions
//	GET /executions/{exec_id}      one execution
//	GET /events                    changes of the page as server-sent events
//	GET /api/plans                 JSON, see docs/api.md
//	GET /api/executions            JSON
//	GET /api/executions/{exec_id}  JSON
//
// The page is rendered on the server and works without scripts; a script of a few
// lines keeps it up to date. It puts the same fragments into the same places that
// the server would, so there is one rendering of everything.
//
// Keys, payloads, messages and sources are whatever somebody sent. html/template
// escapes them for where they stand; what would be invisible or reorder text is
// written out by [clean]; a Content-Security-Policy that knows the one style sheet
// and the one script by their hashes lets nothing else run.
package statuspage

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // For the files of the page.
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"starplan/internal/history"
	"starplan/plan"
	"starplan/plan/worker"
	"starplan/processor"
)

// State is how the service stands. What is nil is not there yet.
type State struct {
	// NotReady lists why records cannot be processed now.
	NotReady  []string
	Processor *processor.Status
	Lag       processor.Lag
	Workers   *worker.Stats
	Sandbox   *worker.Protections
	Limits    plan.Limits
}

// Reload is what the last request to read the plans again came to.
type Reload struct {
	At time.Time
	// Trigger is who asked: "signal", "http" or "file".
	Trigger string
	Report  plan.Report
	// Err says that nothing at all was changed; nil otherwise.
	Err error
}

// Options are what a Page is made of. All functions are called concurrently.
type Options struct {
	Tenant  string
	Version string
	// ShowPayloads shows inputs and outputs, as far as History keeps them.
	ShowPayloads bool
	// History is what is shown of the past.
	History *history.History
	State   func() State
	// Plans gives all plans; none while they are being loaded.
	Plans func() []plan.Detail
	// LastReload may give nil, for none.
	LastReload func() *Reload
	// Every is how often a page is brought up to date; 0 means once a second.
	Every time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// maxStreams bounds the pages that are kept up to date at a time.
const maxStreams = 32

// Page answers all paths that the package comment lists. It is safe for
// concurrent use.
type Page struct {
	opts Options
	log  *slog.Logger
	mux  *http.ServeMux
	// start tells the numbers of this process's executions from those of another.
	start   string
	streams chan struct{}
	cache   cache

	closing sync.Once
	closed  chan struct{}
}

// New makes a page. It must be closed before the HTTP server is.
func New(opts Options) *Page {
	opts.Every = cmp.Or(opts.Every, time.Second)
	p := &Page{
		opts: opts, log: opts.Logger, mux: http.NewServeMux(), start: rand.Text()[:8],
		streams: make(chan struct{}, maxStreams), closed: make(chan struct{}),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.mux.HandleFunc("GET /{$}", p.overview)
	p.mux.HandleFunc("GET /executions/{id}", p.execution)
	p.mux.HandleFunc("GET /events", p.events)
	p.mux.HandleFunc("GET /api/plans", p.apiPlans)
	p.mux.HandleFunc("GET /api/executions", p.apiExecutions)
	p.mux.HandleFunc("GET /api/executions/{id}", p.apiExecution)
	return p
}

// Close ends the streams, which would hold up the end of the HTTP server. It may
// be called twice.
func (p *Page) Close() { p.closing.Do(func() { close(p.closed) }) }

// Changed says that what was shown a moment ago is out of date: who has just
// reloaded the plans wants to see it.
func (p *Page) Changed() { p.cache.forget() }

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	p.mux.ServeHTTP(w, r)
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

var templates = template.Must(template.New("page").Funcs(template.FuncMap{
	"clean": clean, "brief": brief, "seconds": formatSeconds, "count": formatCount, "bytes": formatBytes,
	"clock": formatClock, "stamp": formatStamp, "percent": percent,
	"caret": caret, "more": func(n int) string { return formatCount(n-3) + " more" },
}).Parse(pageHTML))

var policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	hashOf(pageCSS), hashOf(pageJS))

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// frame is what every page has around its content.
type frame struct {
	Title, Tenant, Version string
	// Base leads from the page to the root: the service may be served below a path.
	Base string
	CSS  template.CSS
	JS   template.JS
}

func (p *Page) frame(title, base string) frame {
	// #nosec G203 -- both texts are files of this package.
	return frame{Title: title, Tenant: p.opts.Tenant, Version: p.opts.Version, Base: base, CSS: template.CSS(pageCSS), JS: template.JS(pageJS)}
}

// html writes a page. It is rendered as a whole first, so that a fault gives an
// error and not half a page.
func (p *Page) html(w http.ResponseWriter, code int, name string, data any) {
	text, err := render(name, data)
	if err != nil {
		p.log.Error("page not rendered", "template", name, "err", err)
		http.Error(w, "the page could not be rendered; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy)
	w.WriteHeader(code)
	p.wrote(w.Write([]byte(text)))
}

// wrote takes what Write gives. A reader that went away is nobody's fault.
func (p *Page) wrote(_ int, err error) {
	if err != nil {
		p.log.Debug("http answer not written", "err", err)
	}
}

func render(name string, data any) (string, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, name, data)
	return b.String(), err
}

// parseFilter reads the query parameters plan, status and limit.
func parseFilter(q url.Values) (history.Filter, error) {
	f := history.Filter{Plan: q.Get("plan"), Status: history.Status(strings.ToLower(q.Get("status"))), Limit: history.Executions}
	switch f.Status {
	case "", history.Succeeded, history.Failed:
	default:
		return f, fmt.Errorf("status: want %s or %s, got %q", history.Succeeded, history.Failed, short(q.Get("status"), 40))
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > history.Executions {
			return f, fmt.Errorf("limit: want a number from 1 to %d, got %q", history.Executions, short(text, 40))
		}
		f.Limit = n
	}
	return f, nil
}
