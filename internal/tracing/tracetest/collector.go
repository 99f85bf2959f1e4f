// Package tracetest is a collector of OpenTelemetry traces for tests: it listens on
// a port of this machine, over gRPC and HTTP, and keeps what it is sent.
package tracetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Span is a span that a collector was sent.
type Span struct {
	*tracepb.Span
	// Resource are the attributes of whoever made it.
	Resource map[string]string
}

// Attributes are those of the span as texts.
func (s Span) Attributes() map[string]string { return Texts(s.GetAttributes()) }

// Texts gives attributes as texts, whatever their types are.
func Texts(list []*commonpb.KeyValue) map[string]string {
	texts := make(map[string]string, len(list))
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			texts[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			texts[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_DoubleValue:
			texts[a.GetKey()] = fmt.Sprint(v.DoubleValue)
		default:
			texts[a.GetKey()] = a.GetValue().String()
		}
	}
	return texts
}

// Collector is safe for concurrent use.
type Collector struct {
	coltracepb.UnimplementedTraceServiceServer
	// URL is where it listens, for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	mu      sync.Mutex
	spans   []Span
	changed chan struct{}
}

func newCollector() *Collector { return &Collector{changed: make(chan struct{})} }

// HTTP starts a collector of http/protobuf.
func HTTP(t testing.TB) *Collector {
	t.Helper()
	c := newCollector()
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req coltracepb.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		http.Error(w, "want an ExportTraceServiceRequest for /v1/traces", http.StatusBadRequest)
		return
	}
	c.keep(&req)
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK) // An empty answer is one without complaints.
}

// GRPC starts a collector of gRPC.
func GRPC(t testing.TB) *Collector {
	t.Helper()
	c := newCollector()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, c)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	c.URL = "http://" + ln.Addr().String()
	return c
}

// Export implements the service of gRPC.
func (c *Collector) Export(_ context.Context, req *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	c.keep(req)
	return new(coltracepb.ExportTraceServiceResponse), nil
}

func (c *Collector) keep(req *coltracepb.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				c.spans = append(c.spans, Span{span, Texts(r.GetResource().GetAttributes())})
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Spans gives what it was sent so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Await waits for n spans and gives all that there are.
func (c *Collector) Await(ctx context.Context, t testing.TB, n int) []Span {
	t.Helper()
	for {
		c.mu.Lock()
		spans, changed := append([]Span(nil), c.spans...), c.changed
		c.mu.Unlock()
		if len(spans) >= n {
			return spans
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the collector has %d spans, want %d", len(spans), n)
		}
	}
}
