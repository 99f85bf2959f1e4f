package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"starplan/internal/config"
	"starplan/internal/service"
	"starplan/plan"
)

// TestHTTPSettings: log level, profiles and web configuration arrive where they
// belong.
func TestHTTPSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "route.star", planText("x"))
	web := filepath.Join(t.TempDir(), "web.yml")
	// The password is "secret".
	const users = "basic_auth_users: {ops: $2a$04$7x.M3pLSCVWJr95kN.0tD.L8q7XVttw2czMyMIQ0qhejUZjNnyUWe}\n"
	if err := os.WriteFile(web, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	level, log := new(slog.LevelVar), new(lockedBuffer)
	ctx, cancel := context.WithCancel(t.Context())
	addr, ended := make(chan string, 1), make(chan error, 1)
	cfg := config.Config{
		TenantID: tenant, PlanPath: dir, GroupID: "g", Brokers: []string{"127.0.0.1:1"}, HTTPAddr: "127.0.0.1:0",
		HTTPConfigFile: web, DebugAddr: "127.0.0.1:0",
		Execution: config.Execution{Limits: plan.Limits{Timeout: time.Second, MaxSteps: 1e6, MaxMemory: 64 << 20}, Workers: 1},
	}
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: cfg, Level: level, Listening: func(a string) { addr <- a },
			Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})),
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}()
	ask := func(method, url string, password string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("ops", password)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	url := "http://" + <-addr
	if code, _ := ask("GET", url+"/metrics", "guess"); code != 401 {
		t.Errorf("/metrics with a wrong password = %d, want 401", code)
	}
	if code, body := ask("PUT", url+"/-/log-level?level=debug", "secret"); code != 200 || level.Level() != slog.LevelDebug {
		t.Errorf("PUT /-/log-level = %d %s and the level is %v, want 200 and debug", code, body, level.Level())
	}
	debug := regexp.MustCompile(`debug server listening" addr=(\S+)`).FindStringSubmatch(log.String())
	if debug == nil {
		t.Fatalf("log = %s, want the address of the debug server", log)
	}
	if code, body := ask("GET", "http://"+debug[1]+"/debug/vars", ""); code != 200 || !strings.Contains(body, "memstats") {
		t.Errorf("/debug/vars = %d %s, want 200", code, body)
	}

	cfg.HTTPConfigFile = filepath.Join(dir, "none.yml")
	err := service.Run(t.Context(), service.Options{Config: cfg})
	var wrong *service.ConfigError
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "HTTP_CONFIG_FILE: ") {
		t.Errorf("Run without the web configuration = %v, want a ConfigError that names it", err)
	}
}
