// Command gen writes the dashboards in deploy/grafana:
//
//	go run ./deploy/grafana/gen
//
// It takes metrics, and what they mean, from a scrape of a service that it runs on
// an embedded broker. A dashboard that names a metric or a label that is not there
// is an error, and so is one that shows nothing of a metric where it could.
//
// What is shown, and why, stands in boards.go; panel.go knows Grafana's form.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"starplan/internal/metricset"
	"starplan/plan/worker"
)

func main() {
	worker.Divert()
	if err := write(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write generates the dashboards and writes each to its file.
func write(ctx context.Context) error {
	set, _, err := metricset.Live(ctx)
	if err != nil {
		return err
	}
	files, err := generate(set)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir(), name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// dir is where the dashboards lie: deploy/grafana, wherever gen is run from.
func dir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}
