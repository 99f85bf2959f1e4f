package tracing

import (
	"path/filepath"
	"testing"
)

func TestFromEnv(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	for _, test := range []struct {
		name string
		env  map[string]string
		want Settings
		err  string
	}{
		{"nothing is set", nil, Settings{}, ""},
		{"empty is as good as none", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_SAMPLER": " "}, Settings{}, ""},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, Settings{true, ProtocolHTTP}, ""},
		{"an endpoint of traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://otel/v1/traces"}, Settings{true, ProtocolHTTP}, ""},
		{"the usual endpoint", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, Settings{true, ProtocolHTTP}, ""},
		{"no traces", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, Settings{}, ""},
		{"disabled", map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "otel:4318"}, Settings{}, ""},
		{"gRPC", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Settings{true, ProtocolGRPC}, ""},
		{"traces by another protocol", map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json",
		}, Settings{true, ProtocolJSON}, ""},
		{"all that is well", map[string]string{
			"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, b=c", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_EXPORTER_OTLP_TIMEOUT": "5000", "OTEL_EXPORTER_OTLP_INSECURE": "true", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25",
		}, Settings{true, ProtocolHTTP}, ""},
		{"another exporter", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, Settings{}, `OTEL_TRACES_EXPORTER: want otlp or none, got "zipkin"`},
		{"another protocol", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http"}, Settings{}, `OTEL_EXPORTER_OTLP_PROTOCOL: want grpc, http/protobuf or http/json, got "http"`},
		{"no URL", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "otel:4317"}, Settings{}, `OTEL_EXPORTER_OTLP_ENDPOINT: want a URL such as http://localhost:4318, got "otel:4317"`},
		{"another sampler", map[string]string{"OTEL_TRACES_SAMPLER": "xray"}, Settings{}, `OTEL_TRACES_SAMPLER: want always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio, got "xray"`},
		{"no ratio", map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "25"}, Settings{}, `OTEL_TRACES_SAMPLER_ARG: want a ratio from 0 to 1, got "25"`},
		{"NaN is no ratio", map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, Settings{}, `OTEL_TRACES_SAMPLER_ARG: want a ratio from 0 to 1, got "nan"`},
		{"secrets are not named", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=b,s3cret"}, Settings{}, "OTEL_EXPORTER_OTLP_HEADERS: want NAME=VALUE, several separated by commas, values percent-encoded; number 2 is none"},
		{"no file", map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": none}, Settings{}, "OTEL_EXPORTER_OTLP_CERTIFICATE: stat " + none + ": no such file or directory"},
		{"several", map[string]string{"OTEL_SDK_DISABLED": "yes", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "5s", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, Settings{},
			"OTEL_SDK_DISABLED: want true or false, got \"yes\"\nOTEL_EXPORTER_OTLP_COMPRESSION: want gzip or none, got \"zstd\"\nOTEL_EXPORTER_OTLP_TRACES_TIMEOUT: want a number of milliseconds, got \"5s\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := FromEnv(func(name string) string { return test.env[name] })
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("FromEnv = %v, want %s", err, test.err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("FromEnv = %+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}
