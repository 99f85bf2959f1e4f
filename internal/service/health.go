package service

import (
	"fmt"

	"starplan/internal/httpserver"
	"starplan/plan"
	"starplan/plan/worker"
	"starplan/processor"
)

// notReady lists why records cannot be processed now.
func (s *Service) notReady() []string {
	switch {
	case s.pool.Load() == nil:
		return []string{"workers are starting"}
	case s.plans.Load() == nil:
		return []string{"plans are being loaded"}
	case s.proc.Load() == nil:
		return []string{"the processor is starting"}
	}
	return s.proc.Load().Status().Reasons
}

// health is the document behind /health.
func (s *Service) health() httpserver.Health {
	starting := httpserver.Component{State: processor.StateStarting}
	h := httpserver.Health{Service: starting, Consumer: starting, Producer: starting, Executor: starting}
	if reasons := s.notReady(); len(reasons) == 0 {
		h.Service = httpserver.Component{State: processor.StateUp}
	} else {
		h.Service.Detail = reasons
	}
	if proc := s.proc.Load(); proc != nil {
		st := proc.Status()
		if !st.Ready {
			h.Service.State = processor.StateDown
		}
		h.Consumer = httpserver.Component{State: st.Consumer.State, Detail: consumerDetail{
			Error: st.Consumer.Detail, Joined: st.Joined, MemberID: st.MemberID, Generation: st.Generation,
			Partitions: st.Partitions, InFlight: st.InFlight,
		}}
		h.Producer = httpserver.Component{State: st.Producer.State, Detail: producerDetail{Error: st.Producer.Detail}}
	}
	if pool, plans := s.pool.Load(), s.plans.Load(); pool != nil && plans != nil {
		h.Executor = executorHealth(pool, plans.Plans())
	}
	return h
}

type consumerDetail struct {
	Error      string  `json:"error,omitempty"`
	Joined     bool    `json:"joined"`
	MemberID   string  `json:"member_id,omitempty"`
	Generation int32   `json:"generation"`
	Partitions []int32 `json:"partitions"`
	InFlight   int     `json:"in_flight"`
}

type producerDetail struct {
	Error string `json:"error,omitempty"`
}

type executorDetail struct {
	Error   string             `json:"error,omitempty"`
	Plans   []plan.Status      `json:"plans"`
	Workers worker.Stats       `json:"workers"`
	Sandbox worker.Protections `json:"sandbox"`
}

// executorHealth is down where no plan can run at all. A plan that fails is no
// fault of the executor: it is shown, and the others are served.
func executorHealth(pool *worker.Pool, plans []plan.Status) httpserver.Component {
	detail := executorDetail{Plans: plans, Workers: pool.Stats(), Sandbox: pool.Sandbox()}
	running := 0
	for _, p := range plans {
		if p.Digest != "" {
			running++
		}
	}
	state := processor.StateUp
	if len(plans) > 0 && running == 0 {
		state = processor.StateDown
		detail.Error = fmt.Sprintf("none of %d plans could be loaded", len(plans))
	}
	return httpserver.Component{State: state, Detail: detail}
}
