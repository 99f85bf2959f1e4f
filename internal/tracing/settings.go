package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The protocols of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	ProtocolGRPC = "grpc"
	ProtocolHTTP = "http/protobuf"
	ProtocolJSON = "http/json"
)

// Settings are what this package itself must know. Everything else the SDK takes
// from the environment on its own.
type Settings struct {
	// Enabled: spans are made and sent. False for the zero value.
	Enabled bool
	// Protocol is one of the protocols above.
	Protocol string
}

// FromEnv reads the variables of the environment; those that are empty are as good
// as none. Spans are made where OTEL_EXPORTER_OTLP_ENDPOINT,
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_TRACES_EXPORTER=otlp asks for them, and
// neither OTEL_TRACES_EXPORTER=none nor OTEL_SDK_DISABLED=true forbids it. The SDK
// would take most mistakes for a wish to have the default, and say so to nobody; so
// they are refused here, all at once.
func FromEnv(getenv func(string) string) (Settings, error) {
	v := variables{getenv: func(name string) string { return strings.TrimSpace(getenv(name)) }}
	disabled := v.bool("OTEL_SDK_DISABLED")
	kind := v.oneOf("OTEL_TRACES_EXPORTER", "otlp", "none")
	protocol := v.oneOf("OTEL_EXPORTER_OTLP_PROTOCOL", ProtocolGRPC, ProtocolHTTP, ProtocolJSON)
	if own := v.oneOf("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", ProtocolGRPC, ProtocolHTTP, ProtocolJSON); own != "" {
		protocol = own
	}
	if protocol == "" {
		protocol = ProtocolHTTP // As the standard has it.
	}
	asked := kind == "otlp"
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		asked = v.url(name) || asked
	}
	for _, signal := range []string{"", "TRACES_"} {
		prefix := "OTEL_EXPORTER_OTLP_" + signal
		v.oneOf(prefix+"COMPRESSION", "gzip", "none")
		v.bool(prefix + "INSECURE")
		v.milliseconds(prefix + "TIMEOUT")
		v.headers(prefix + "HEADERS")
		for _, name := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
			v.file(prefix + name)
		}
	}
	v.sampler()
	switch err := errors.Join(v.wrong...); {
	case disabled || kind == "none":
		return Settings{}, nil // What is wrong with the others matters to nobody.
	case err != nil || !asked:
		return Settings{}, err
	}
	return Settings{Enabled: true, Protocol: protocol}, nil
}

// variables reads variables and collects what is wrong with them.
type variables struct {
	getenv func(string) string
	wrong  []error
}

func (v *variables) refuse(name, want, got string) {
	v.wrong = append(v.wrong, fmt.Errorf("%s: want %s, got %q", name, want, got))
}

func (v *variables) bool(name string) bool {
	text := v.getenv(name)
	// The standard knows no other spellings.
	switch strings.ToLower(text) {
	case "true":
		return true
	case "", "false":
	default:
		v.refuse(name, "true or false", text)
	}
	return false
}

func (v *variables) oneOf(name string, values ...string) string {
	text := v.getenv(name)
	if text != "" && !slices.Contains(values, text) {
		v.refuse(name, strings.Join(values[:len(values)-1], ", ")+" or "+values[len(values)-1], text)
	}
	return text
}

// url reports whether there is one.
func (v *variables) url(name string) bool {
	text := v.getenv(name)
	if text == "" {
		return false
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		v.refuse(name, "a URL such as http://localhost:4318", text)
	}
	return true
}

func (v *variables) milliseconds(name string) {
	if text := v.getenv(name); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 0 {
			v.refuse(name, "a number of milliseconds", text)
		}
	}
}

// headers looks at a list as W3C Baggage writes it. It names no value: they are
// secrets as a rule.
func (v *variables) headers(name string) {
	for i, pair := range strings.Split(v.getenv(name), ",") {
		key, value, ok := strings.Cut(pair, "=")
		if strings.TrimSpace(pair) == "" {
			continue
		}
		if _, err := url.PathUnescape(value); !ok || err != nil || strings.TrimSpace(key) == "" {
			v.wrong = append(v.wrong, fmt.Errorf("%s: want NAME=VALUE, several separated by commas, values percent-encoded; number %d is none", name, i+1))
		}
	}
}

func (v *variables) file(name string) {
	if path := v.getenv(name); path != "" {
		if _, err := os.Stat(path); err != nil {
			v.wrong = append(v.wrong, fmt.Errorf("%s: %w", name, err))
		}
	}
}

func (v *variables) sampler() {
	kind := v.oneOf("OTEL_TRACES_SAMPLER", "always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
	arg := v.getenv("OTEL_TRACES_SAMPLER_ARG")
	if arg == "" || !strings.HasSuffix(kind, "traceidratio") {
		return
	}
	if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		v.refuse("OTEL_TRACES_SAMPLER_ARG", "a ratio from 0 to 1", arg)
	}
}
