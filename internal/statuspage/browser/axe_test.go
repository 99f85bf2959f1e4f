//go:build browser

package browser_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The version of axe-core (https://github.com/dequelabs/axe-core) that looks at the
// pages, and what the archive of it that npm gives must be.
const (
	axeVersion = "4.11.1"
	axeSHA256  = "5b86f813d96904f2d925fed5715877c75fc1cc140f89565fb42145e7801b2305"
)

// axe gives the text of axe-core. npm gets it the first time; later it is taken from
// the user's cache.
var axe = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "starplan")
	archive := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	text, err := os.ReadFile(archive)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		npm := exec.Command("npm", "pack", "axe-core@"+axeVersion, "--silent", "--pack-destination", dir)
		if out, err := npm.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm pack axe-core: %w\n%s\nis npm installed, and its registry within reach?", err, out)
		}
		text, err = os.ReadFile(archive)
	}
	if err != nil {
		return "", err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != axeSHA256 {
		return "", fmt.Errorf("%s has the SHA-256 %s, want %s", archive, got, axeSHA256)
	}
	return fileIn(text, "package/axe.min.js")
})

// fileIn gives a file of a .tgz archive.
func fileIn(archive []byte, name string) (string, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return "", err
	}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if header.Name == name {
			text, err := io.ReadAll(files)
			return string(text), err
		}
	}
}

// axeRun gives a list of what axe-core finds, each as a text. The pages forbid
// scripts that are not theirs, which does not concern what the debugger evaluates.
const axeRun = `axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations.flatMap((v) =>
  v.nodes.map((n) => v.id + " (" + v.impact + "): " + n.target.join(" ") + ": " + n.failureSummary)))`

// axe has axe-core look at the page, by all of its rules.
func (b *browser) axe(where string) {
	b.t.Helper()
	text, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	b.run(
		chromedp.Evaluate(text, nil),
		chromedp.Evaluate(axeRun, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
	)
	for _, f := range found {
		b.t.Errorf("%s: axe: %s", where, f)
	}
}

// TestAxe: axe-core is there and finds what is wrong with a page that is bad.
func TestAxe(t *testing.T) {
	text, err := axe()
	if err != nil {
		t.Fatal(err)
	}
	b := startBrowser(t)
	b.run(
		chromedp.Navigate(`data:text/html,<input><p style="color: %23bbb; background: white">hardly to be seen</p>`),
		chromedp.Evaluate(text, nil),
	)
	var found []string
	b.run(chromedp.Evaluate(`axe.run().then((r) => r.violations.map((v) => v.id))`, &found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	for _, want := range []string{"label", "color-contrast", "html-has-lang", "document-title"} {
		if !slices.Contains(found, want) {
			t.Errorf("axe finds %q, want %s among it", found, want)
		}
	}
}
