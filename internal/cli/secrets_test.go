package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecretsAreNotShown: no command prints what it was told in confidence.
// testdata/secrets.txtar looks at the help, internal/e2e at the log of a service that
// has connected.
func TestSecretsAreNotShown(t *testing.T) {
	dir := t.TempDir()
	files := make(map[string]string)
	for _, name := range []string{"password", "token", "client"} {
		files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(files[name], []byte("hush-"+name+"-of-a-file"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan := filepath.Join(dir, "route.star")
	if err := os.WriteFile(plan, []byte("def plan(plan_input):\n    return PlanResult()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := map[string]string{"TENANT_ID": "acme", "PLAN_PATH": dir, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "HTTP_ADDR": "127.0.0.1:0", "LOG_LEVEL": "debug"}
	environments := map[string]map[string]string{
		"password":     {"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hush-password"},
		"its file":     {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD_FILE": files["password"]},
		"token":        {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_FILE": files["token"]},
		"client":       {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_URL": "http://127.0.0.1:1/token?hush=hush-query", "KAFKA_SASL_CLIENT_ID": "c", "KAFKA_SASL_CLIENT_SECRET": "hush-secret"},
		"client, file": {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_URL": "http://127.0.0.1:1/token", "KAFKA_SASL_CLIENT_ID": "c", "KAFKA_SASL_CLIENT_SECRET_FILE": files["client"]},
		"all at once, which is a mistake": {
			"KAFKA_SASL_MECHANISM": "hush-mechanism", "KAFKA_SASL_PASSWORD": "hush-password", "KAFKA_SASL_PASSWORD_FILE": files["password"],
			"KAFKA_SASL_TOKEN_FILE": files["token"], "KAFKA_SASL_TOKEN_URL": "https://u:hush-url@idp", "KAFKA_SASL_CLIENT_SECRET": "hush-secret",
		},
		"url, which is a mistake": {"KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_SASL_TOKEN_URL": "https://u:hush-url@idp", "KAFKA_SASL_CLIENT_SECRET": "hush-secret", "KAFKA_SASL_CLIENT_ID": "c"},
	}
	for name, env := range environments {
		t.Run(name, func(t *testing.T) {
			for _, m := range []map[string]string{base, env} {
				for variable, value := range m {
					t.Setenv(variable, value)
				}
			}
			commands := [][]string{
				{"run", "--fly"}, {"run", "--kafka-sasl-password"},
				{"doctor"}, {"doctor", "--format=json"}, {"tail"}, {"send", inputFile(t, `{"plan_name": "route"}`)},
			}
			if name == "its file" || name == "client" {
				commands = append(commands, []string{"run"}) // It waits for a broker until it is told to stop.
			}
			for _, args := range commands {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				_, stdout, stderr := command(ctx, args...)
				cancel()
				shown := strings.ReplaceAll(stdout+stderr, `"hush-mechanism"`, "") // No secret: that is where a mechanism belongs.
				if at := strings.Index(shown, "hush-"); at >= 0 {
					t.Errorf("%s shows a secret: …%.100s", strings.Join(args, " "), shown[max(0, at-50):])
				}
				if shown == "" {
					t.Errorf("%s shows nothing at all", strings.Join(args, " "))
				}
			}
		})
	}
}
