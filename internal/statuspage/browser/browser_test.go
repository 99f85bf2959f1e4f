//go:build browser

package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	_ "embed" // For the checks.
)

// look is one way to see the page.
type look struct {
	name   string
	width  int64
	scheme string
}

var looks = []look{
	{"wide-light", 1280, "light"},
	{"wide-dark", 1280, "dark"},
	{"phone-light", 360, "light"},
	{"phone-dark", 360, "dark"},
}

// browser is a tab of a Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context
	dir string // For screenshots; empty for none.

	mu       sync.Mutex
	complain []string // Errors of the console, of scripts and of the network.
}

// startBrowser starts Chromium with a profile of its own and nothing that speaks
// to anybody but the page.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		t.Fatal("no Chromium: install the package chromium, or name one in CHROMIUM")
	}
	// Where no profile is named, chromedp makes one and removes it.
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.WSURLReadTimeout(30 * time.Second)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "hide-scrollbars", "disable-dev-shm-usage",
	} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	deadline, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(stop)
	alloc, cancel := chromedp.NewExecAllocator(deadline, opts...)
	t.Cleanup(cancel)
	b := &browser{t: t, dir: os.Getenv("STARPLAN_SCREENSHOTS")}
	b.ctx, cancel = chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Logf("the browser did not end by itself: %v", err)
		}
		cancel()
	})
	chromedp.ListenTarget(b.ctx, b.listen)
	if err := chromedp.Run(b.ctx, log.Enable(), runtime.Enable(), emulation.SetFocusEmulationEnabled(true)); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	if b.dir != "" {
		if err := os.MkdirAll(b.dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// listen collects what the page complains about.
func (b *browser) listen(event any) {
	var text string
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("console.%s", e.Type)
		for _, arg := range e.Args {
			text += fmt.Sprintf(" %s%s", arg.Value, arg.Description)
		}
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Error()
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complain = append(b.complain, text)
}

// quiet fails the test where there was anything on the console.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complain {
		b.t.Errorf("the browser complains: %s", text)
	}
	b.complain = nil
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// as sets how the page is seen.
func (b *browser) as(l look) {
	b.t.Helper()
	b.run(
		emulation.SetDeviceMetricsOverride(l.width, 900, 1, l.width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}),
	)
}

// wait waits until the expression is true on the page. A page that is just being
// left answers with an error; the next one is asked then.
func (b *browser) wait(expression string) {
	b.t.Helper()
	deadline, ticker := time.NewTimer(15*time.Second), time.NewTicker(50*time.Millisecond)
	defer deadline.Stop()
	defer ticker.Stop()
	for {
		var ok bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate("Boolean("+expression+")", &ok))
		if err == nil && ok {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			b.screenshot("failed")
			b.t.Fatalf("never true: %s (%v)", expression, err)
		}
	}
}

// eval gives the value of an expression as JSON.
func (b *browser) eval(expression string, into any) {
	b.t.Helper()
	b.run(chromedp.Evaluate(expression, into))
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	var text string
	b.eval(fmt.Sprintf("document.querySelector(%q)?.innerText ?? '(none)'", selector), &text)
	return text
}

func (b *browser) wantText(selector string, want ...string) {
	b.t.Helper()
	text := b.text(selector)
	for _, w := range want {
		if !strings.Contains(text, w) {
			b.t.Errorf("%s is %q, want it to hold %q", selector, text, w)
		}
	}
}

// maxPicture bounds the height of a screenshot in pixels.
const maxPicture = 2500

// screenshot writes the page to a file, from its top.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	if b.dir == "" {
		return
	}
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, _, _, content, err := page.GetLayoutMetrics().Do(ctx)
		if err != nil {
			return err
		}
		clip := &page.Viewport{Width: content.Width, Height: min(content.Height, maxPicture), Scale: 1}
		png, err := page.CaptureScreenshot().WithCaptureBeyondViewport(true).WithClip(clip).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(b.dir, name+".png"), png, 0o644)
	}))
}

//go:embed checks.js
var checks string

// check looks for what keeps people from using the page, see checks.js. It is quick;
// axe is not.
func (b *browser) check(where string) {
	b.t.Helper()
	var text string
	b.eval(checks, &text)
	var found []string
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		b.t.Errorf("%s: %s", where, f)
	}
}
