package kafkatest

import (
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestArchive has Java refuse to run without the archive of classes: otherwise it
// leaves out an archive that does not fit, and only starts more slowly.
func TestArchive(t *testing.T) {
	kind, err := KindFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if kind != Kafka {
		t.Skipf("needs %s=%s, as make test-kafka has it", KindVariable, Kafka)
	}
	v, err := newVM(t.Context(), DefaultVersion, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(v.archive); err != nil {
		t.Fatal(err)
	}
	run := func(v vm) ([]byte, error) {
		command := v.command("kafka.tools.StorageTool", []string{"-Xshare:on"}, "random-uuid")
		return exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	}
	if out, err := run(v); err != nil {
		t.Errorf("run with the archive: %v\n%s", err, out)
	}
	_, v.classes, _ = strings.Cut(v.classes, string(os.PathListSeparator))
	if out, err := run(v); err == nil {
		t.Errorf("an archive for other classes was taken: the test shows nothing\n%s", out)
	}
}
