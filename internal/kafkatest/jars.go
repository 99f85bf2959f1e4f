package kafkatest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed kafka/pom.xml
var pom []byte

// cacheDir is where jars are kept between runs, outside of the repository:
// starplan below $XDG_CACHE_HOME or ~/.cache.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kafkatest: no place for Kafka's jars: %w; set XDG_CACHE_HOME", err)
	}
	return filepath.Join(base, "starplan"), nil
}

// jars gives the directory that holds the jars of a version of Apache Kafka. Maven
// gets them from Maven Central the first time; later they are taken from the
// cache. Several processes may ask at once: each downloads into a directory of
// its own, and the first to finish gives it its final name.
func jars(ctx context.Context, version string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(pom)
	dir := filepath.Join(cache, fmt.Sprintf("kafka-%s-%x", version, digest[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("kafkatest: the jars of Apache Kafka %s are not in %s, and there is no Maven to get them: %w; "+
			"install it (Debian: apt-get install maven), or run on %s=%s", version, dir, err, KindVariable, KFake)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := download(ctx, mvn, version, work); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "jars"), dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	return dir, nil
}

// download has Maven copy the jars into work/jars.
func download(ctx context.Context, mvn, version, work string) error {
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	// Without the user's .mavenrc and with plain output; Maven's own cache is used.
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "--file", file,
		"-Dkafka.version="+version, "-DoutputDirectory="+filepath.Join(work, "jars"), "dependency:copy-dependencies")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kafkatest: download the jars of Apache Kafka %s: mvn: %w; is Maven Central within reach?\n%s", version, err, tail(out.Bytes()))
	}
	return nil
}

// java finds the Java virtual machine.
func java() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path := filepath.Join(home, "bin", "java")
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("kafkatest: JAVA_HOME holds no Java: %w", err)
		}
		return path, nil
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("kafkatest: no Java to run Apache Kafka with: %w; install version 17 or later "+
			"(Debian: apt-get install openjdk-17-jre-headless), or run on %s=%s", err, KindVariable, KFake)
	}
	return path, nil
}

// tail gives the last lines of a program's output, for an error message.
func tail(out []byte) []byte {
	const lines = 20
	out = bytes.TrimSpace(out)
	at := len(out)
	for range lines {
		if at = bytes.LastIndexByte(out[:at], '\n'); at < 0 {
			return out
		}
	}
	return out[at+1:]
}
