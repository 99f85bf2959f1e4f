package kafkatest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// vm is a Java virtual machine with the classes of a version of Apache Kafka.
type vm struct {
	java    string // path
	classes string // class path
	// archive is a file of classes as they are in memory once loaded, which saves a
	// third of what a broker needs to start (JEP 350). Empty: there is none.
	archive string
	// dump is where a broker that ends in its own time writes such a file; or empty.
	dump string
}

// newVM finds Java and gets the jars of a version. Where there is no archive yet it is
// made, and where that fails there is none: brokers only start more slowly.
func newVM(ctx context.Context, version string, log *slog.Logger) (vm, error) {
	path, err := java()
	if err != nil {
		return vm{}, err
	}
	dir, err := jars(ctx, version)
	if err != nil {
		return vm{}, err
	}
	// An archive is only taken with the class path that it was made with, in its order.
	all, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return vm{}, fmt.Errorf("kafkatest: %w", err)
	}
	v := vm{java: path, classes: strings.Join(all, string(os.PathListSeparator))}
	archive, err := archiveName(dir, path)
	if err != nil {
		return vm{}, err
	}
	_, err = os.Stat(archive)
	if errors.Is(err, fs.ErrNotExist) {
		log.Info("preparing faster starts of kafka, once", "version", version, "file", archive)
		err = v.train(ctx, archive, log)
	}
	if err != nil {
		log.Warn("kafka will start slowly", "error", err)
		return v, context.Cause(ctx)
	}
	v.archive = archive
	return v, nil
}

// archiveName is the archive's file beside the jars; each Java has its own.
func archiveName(dir, java string) (string, error) {
	path, err := filepath.EvalSymlinks(java)
	if err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("kafkatest: %w", err)
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", path, info.Size(), info.ModTime().UnixNano()))
	return filepath.Join(dir, fmt.Sprintf("classes-%x.jsa", digest[:4])), nil
}

// train runs a broker that writes an archive when it ends. Several processes may do
// it at once: each writes a file of its own, and the last one gives it its name.
func (v vm) train(ctx context.Context, archive string, log *slog.Logger) error {
	dir, err := os.MkdirTemp(filepath.Dir(archive), "train-")
	if err != nil {
		return fmt.Errorf("kafkatest: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	v.dump = filepath.Join(dir, "classes.jsa")
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c, err := v.start(ctx, Options{Nodes: 1, DataDir: dir, Logger: log})
	if err != nil {
		return err
	}
	if err := errors.Join(c.Stop(ctx), c.Close()); err != nil {
		return err
	}
	if err := os.Rename(v.dump, archive); err != nil {
		return fmt.Errorf("kafkatest: archive of classes: %w", err)
	}
	return nil
}

// broker gives the command line of a broker; options are the virtual machine's.
func (v vm) broker(options []string, config string) []string {
	if v.dump != "" {
		options = append(options, "-XX:ArchiveClassesAtExit="+v.dump)
	}
	return v.command("kafka.Kafka", append(options, "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"), config)
}

// tool gives the command line of a program that runs once and not for long.
func (v vm) tool(class string, args ...string) []string {
	return v.command(class, []string{"-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}, args...)
}

func (v vm) command(class string, options []string, args ...string) []string {
	command := append([]string{v.java}, options...)
	if v.archive != "" {
		command = append(command, "-XX:SharedArchiveFile="+v.archive)
	}
	return append(append(command, "-cp", v.classes, class), args...)
}
