package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"starplan/internal/config"
	"starplan/internal/rights"
	"starplan/internal/testcert"
	"starplan/processor"
)

// TestSecureExamples: each set of variables by which operating.md connects fits
// together, with files in the places of those it names.
func TestSecureExamples(t *testing.T) {
	dir := t.TempDir()
	ca, err := testcert.New(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign("starplan")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"KAFKA_TLS_CA_FILE": ca.File, "KAFKA_TLS_CERT_FILE": cert.CertFile, "KAFKA_TLS_KEY_FILE": cert.KeyFile}
	var got []string
	for example := range strings.SplitSeq(section(t, "operating.md", "## Connecting securely"), "\n\n") {
		if !strings.HasPrefix(strings.TrimLeft(example, "\n"), "    ") {
			continue
		}
		var args []string
		for line := range strings.Lines(example) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if file := files[name]; file != "" {
				value = file
			} else if strings.HasSuffix(name, "_FILE") {
				value = filepath.Join(dir, "secret")
				if err := os.WriteFile(value, []byte("secret"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args = append(args, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-"))+"="+value)
		}
		var s config.Security
		parser, err := kong.New(&s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Fatal(err)
		}
		settings, err := s.Resolve()
		if err != nil {
			t.Errorf("%s\n%v", example, err)
		}
		got = append(got, strings.ReplaceAll(settings.String(), ca.File, "ca.pem"))
	}
	const encrypted = "TLS, brokers trusted by ca.pem"
	want := []string{
		encrypted + ", no SASL", "TLS, brokers trusted by the system's authorities, no SASL", encrypted + ", client certificate CN=starplan, no SASL",
		encrypted + ", SCRAM-SHA-512 as starplan", encrypted + ", OAUTHBEARER with tokens of https://idp.example.com/oauth2/token", encrypted + ", OAUTHBEARER",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the examples connect differently (-want +page):\n%s", diff)
	}
}

// TestRights holds the commands of operating.md to what the service needs.
func TestRights(t *testing.T) {
	var want, got []string
	needs := rights.Needs{
		Input: processor.InputTopic("acme"), Output: processor.OutputTopic("acme"), DeadLetters: "dlq-plan-inputs-acme", Group: "executors-acme", Transactions: true,
	}
	for _, r := range needs.Rights() {
		want = append(want, r.Command("User:starplan"))
	}
	for line := range strings.Lines(section(t, "operating.md", "## Rights")) {
		if command := strings.TrimSpace(line); strings.HasPrefix(command, "kafka-acls ") {
			got = append(got, command)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operating.md grants other rights (-code +page):\n%s", diff)
	}
}

// TestMistakes: what operating.md says is said of mistakes is in the code.
func TestMistakes(t *testing.T) {
	var sources strings.Builder
	for _, pattern := range []string{"../internal/connection/*.go", "../internal/oauth/*.go", "../internal/rights/*.go", "../processor/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	rows := table(t, "operating.md", "## When it does not fit")
	for _, row := range rows {
		if len(row) != 3 || row[2] != "waits" && row[2] != "ends" {
			t.Errorf("%s: want a row of three, that ends with waits or ends", row)
			continue
		}
		for _, m := range code.FindAllStringSubmatch(row[1], -1) {
			for part := range strings.SplitSeq(m[1], "…") {
				if part = strings.Trim(part, " :;"); !strings.Contains(sources.String(), part) && part != "dial tcp" && part != "rights are missing; grant" {
					t.Errorf("%s: nothing says %q", row[0], part)
				}
			}
		}
	}
	if len(rows) < 10 {
		t.Errorf("%d rows were found, want all", len(rows))
	}
}
