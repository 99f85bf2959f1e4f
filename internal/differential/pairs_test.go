package differential

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starplan/plan"
)

// TestPairs needs no Python: every plan is there twice, and loads.
func TestPairs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d plans, want at least 30: %v", len(files), err)
	}
	for _, file := range files {
		if _, err := os.Stat(strings.TrimSuffix(file, ".star") + ".py"); err != nil {
			t.Error(err)
		}
		src, err := plan.ReadFile(file, "")
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := plan.Compile(src, plan.Limits{}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
