package service

import (
	"runtime/debug"

	"starplan/internal/history"
	"starplan/internal/statuspage"
	"starplan/plan"
)

// newPage makes the status page of the service.
func (s *Service) newPage() *statuspage.Page {
	return statuspage.New(statuspage.Options{
		Tenant: s.opts.Config.TenantID, Version: programVersion(), ShowPayloads: s.opts.Config.ShowPayloads,
		History: s.history, State: s.state, Plans: s.details, LastReload: s.lastReload.Load, Logger: s.log,
	})
}

// programVersion is that of the program; empty where it was built without one.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return ""
}

// state is what the status page tells of the service; parts are there as they start.
func (s *Service) state() statuspage.State {
	st := statuspage.State{NotReady: s.notReady(), Limits: s.opts.Config.Limits}
	if proc := s.proc.Load(); proc != nil {
		status := proc.Status()
		st.Processor, st.Lag = &status, proc.Lag()
	}
	if pool := s.pool.Load(); pool != nil {
		stats, sandbox := pool.Stats(), pool.Sandbox()
		st.Workers, st.Sandbox = &stats, &sandbox
	}
	return st
}

func (s *Service) details() []plan.Detail {
	if plans := s.plans.Load(); plans != nil {
		return plans.Details()
	}
	return nil
}

func (s *Service) lag() history.Lag {
	if proc := s.proc.Load(); proc != nil {
		return history.Lag(proc.Lag())
	}
	return history.Lag{}
}
