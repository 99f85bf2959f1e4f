//go:build browser

package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const rowCount = "document.querySelectorAll('#rows tr').length"

// TestPage goes through what an operator does, one step after the other.
func TestPage(t *testing.T) {
	r := startService(t)
	b := startBrowser(t)
	b.as(looks[0])
	b.run(chromedp.Navigate(r.url))
	b.wait("document.querySelector('#state .ok')")
	b.wait("document.getElementById('live').innerText === 'Live'")
	b.wantText("#none", "No execution has ended yet.")

	for _, step := range []struct {
		name string
		do   func(*testing.T, *running, *browser)
	}{
		{"executions appear live", appearLive},
		{"filters", filters},
		{"a failure opens with its source line", failureOpens},
		{"a reload error shows and goes away", reloadError},
		{"pause", pause},
	} {
		t.Run(step.name, func(t *testing.T) {
			b.t = t
			step.do(t, r, b)
		})
	}
	b.t = t
	b.quiet()
}

func appearLive(t *testing.T, r *running, b *browser) {
	b.eval("window.sameDocument = true", nil)
	r.send(t, "route", 3, "")
	b.wait(rowCount + " === 3")
	r.send(t, "size_check", 2, "<script>alert(1)</script>")
	b.wait(rowCount + " === 5")
	b.wantText("#rows tr:first-child", "size_check", "failed", "plan", "fetch_order")
	b.wantText("#rows tr:last-child", "route", "succeeded", "summarize, notify_orders")
	b.wantText("#announce", "executions failed")
	b.wait("window.sameDocument === true")
	b.wait("document.getElementById('none').hidden")
}

func filters(t *testing.T, r *running, b *browser) {
	b.run(
		chromedp.SetValue("#status", "failed", chromedp.ByQuery),
		chromedp.Click(".filter button", chromedp.ByQuery),
	)
	b.wait("location.search.includes('status=failed') && " + rowCount + " === 2")
	r.send(t, "route", 1, "")
	r.send(t, "size_check", 1, "")
	b.wait(rowCount + " === 3")
	b.wait("[...document.querySelectorAll('#rows tr')].every((row) => row.className === 'failed')")
	b.run(
		chromedp.SetValue("#status", "", chromedp.ByQuery),
		chromedp.SetValue("#plan", "route", chromedp.ByQuery),
		chromedp.Click(".filter button", chromedp.ByQuery),
	)
	b.wait("location.search.includes('plan=route') && " + rowCount + " === 4")
	b.wait("document.querySelector('#graphs-title').innerText.includes('route')")
}

func failureOpens(t *testing.T, r *running, b *browser) {
	b.run(chromedp.Navigate(r.url+"?status=failed"), chromedp.Click("#rows tr:last-child a", chromedp.ByQuery))
	b.wait("document.querySelector('.excerpt mark')")
	b.wantText(".excerpt mark", `return int(data.unpack("nothing"))`)
	b.wantText("main", "size_check", "size_check.star:3:15", "Backtrace", "in size_of", "<script>alert(1)</script>")
	// The caret stands below the column of the failing call.
	var under string
	b.eval("(() => { const [line, caret] = ['mark', '.caret'].map((s) => document.querySelector('.excerpt ' + s).textContent); return line.slice(caret.indexOf('^')); })()", &under)
	if want := "(data"; under[:5] != want {
		t.Errorf("the caret is below %q, want below %q", under, want)
	}
}

func reloadError(t *testing.T, r *running, b *browser) {
	b.run(chromedp.Navigate(r.url))
	b.wait("document.getElementById('live').innerText === 'Live'")
	r.write(t, "route", unloadable)
	b.run(chromedp.Click("form[action$=reload] button", chromedp.ByQuery))
	b.wait("document.querySelector('.fault')")
	b.wantText(".fault", "route.star:3:41: undefined: nmaes", "return PlanResult(next_task_names = nmaes)")
	b.wantText("#plans", "serving last good version", "1 kept last good version")
	b.screenshot("reload-error")
	r.write(t, "route", route)
	b.run(chromedp.Click("form[action$=reload] button", chromedp.ByQuery))
	b.wait("!document.querySelector('.fault') && document.querySelector('.reload')")
	b.wait("document.getElementById('live').innerText === 'Live'")
}

func pause(t *testing.T, r *running, b *browser) {
	b.run(chromedp.Click("#live", chromedp.ByQuery))
	b.wait("document.getElementById('live').innerText === 'Paused'")
	var before int
	b.eval(rowCount, &before)
	r.send(t, "route", 2, "")
	b.run(chromedp.Click("#live", chromedp.ByQuery))
	b.wait(fmt.Sprintf("%s === %d", rowCount, before+2))
}

// TestLooks sees all pages in all looks.
func TestLooks(t *testing.T) {
	r := startService(t)
	r.write(t, "bad_plan", unloadable)
	b := startBrowser(t)
	b.run(chromedp.Navigate(r.url))
	b.wait("document.querySelector('#state .ok')")
	b.run(chromedp.Click("form[action$=reload] button", chromedp.ByQuery))
	b.wait("document.querySelector('.fault')")
	r.send(t, "route", 12, "")
	r.send(t, "size_check", 3, "")
	r.send(t, "nobody_knows_this_plan", 1, "")
	b.wait(rowCount + " === 16")
	// The graphs show intervals of five seconds once they are over.
	b.wait("!document.querySelector('#graphs .now').innerText.startsWith('0')")
	for _, l := range looks {
		b.as(l)
		b.run(chromedp.Navigate(r.url))
		b.wait("document.getElementById('live').innerText === 'Live'")
		b.check(l.name)
		b.axe(l.name)
		b.screenshot("overview-" + l.name)
		b.run(chromedp.Navigate(r.url+"?status=failed&plan=size_check"), chromedp.Click("#rows tr:last-child a", chromedp.ByQuery))
		b.wait("document.querySelector('.excerpt')")
		b.check(l.name + ", a failure")
		b.axe(l.name + ", a failure")
		b.screenshot("failure-" + l.name)
		b.run(chromedp.Navigate(r.url+"?status=succeeded"), chromedp.Click("#rows tr:last-child a", chromedp.ByQuery))
		b.wait("document.querySelector('#output-title')")
		b.check(l.name + ", a success")
		b.axe(l.name + ", a success")
		b.screenshot("success-" + l.name)
	}
	b.quiet()
}

// TestKeyboard opens a failure, and comes back, by keys alone.
func TestKeyboard(t *testing.T) {
	r := startService(t)
	b := startBrowser(t)
	b.as(looks[0])
	b.run(chromedp.Navigate(r.url))
	b.wait("document.querySelector('#state .ok')")
	r.send(t, "route", 1, "")
	r.send(t, "size_check", 1, "")
	b.wait(rowCount + " === 2")
	b.run(chromedp.KeyEvent(kb.Tab))
	b.wait("document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().left >= 0")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.wait("location.hash === '#executions'")
	// Past the filters: their three fields, and then the newest execution.
	b.tabTo("#rows tr:first-child a", 5)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.wait("document.querySelector('.excerpt mark')")
	b.tabTo("nav a", 2)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.wait(rowCount + " === 2")
	b.run(chromedp.Navigate(r.url))
	b.wait("document.getElementById('live').innerText === 'Live'")
	b.tabTo("form[action$=reload] button", 4)
	r.write(t, "route", unloadable)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.wait("document.querySelector('.fault')")
	b.quiet()
}

// tabTo presses Tab until an element has the focus, so many times at most.
func (b *browser) tabTo(selector string, most int) {
	b.t.Helper()
	for range most {
		b.run(chromedp.KeyEvent(kb.Tab))
		var there bool
		b.eval(fmt.Sprintf("document.activeElement.matches(%q)", selector), &there)
		if there {
			return
		}
	}
	var at string
	b.eval("document.activeElement.outerHTML.slice(0, 200)", &at)
	b.t.Fatalf("after %d times Tab the focus is not on %s, but on %s", most, selector, at)
}

// TestWithoutScripts does without scripts what needs none.
func TestWithoutScripts(t *testing.T) {
	r := startService(t)
	b := startBrowser(t)
	b.run(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(r.url))
	for b.text("#state") != "Ready" { // The service starts while it is looked at.
		b.run(chromedp.Reload())
	}
	b.wait("document.getElementById('live').hidden")
	r.send(t, "route", 2, "")
	r.send(t, "size_check", 1, "")
	for b.text("#rows tr:nth-child(3)") == "(none)" {
		b.run(chromedp.Reload())
	}
	b.run(chromedp.SetValue("#status", "failed", chromedp.ByQuery), chromedp.Click(".filter button", chromedp.ByQuery))
	b.wait("location.search.includes('status=failed') && " + rowCount + " === 1")
	b.run(chromedp.Click("#rows a", chromedp.ByQuery))
	b.wait("document.querySelector('.excerpt mark')")
	b.run(chromedp.Click("nav a", chromedp.ByQuery))
	b.wait(rowCount + " === 3")
	r.write(t, "route", unloadable)
	b.run(chromedp.Click("form[action$=reload] button", chromedp.ByQuery))
	b.wait("document.querySelector('.fault')")
	b.quiet()
}
