//! What the definitions come to: lanes that keep panes, feeds that close windows, agendas that share a
//! clock. One stream cut one way is one lane, however many checks read it.

use crate::calendar::Cut;
use crate::learning::Lesson;
use functions::{Library, ParameterKind};
use model::definition::{
    Argument, CheckDefinition, Content, Definitions, Downsampling, Input, Propagation, Shape, Window,
};
use model::{Element, Labels, Span, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Everything that is derived from the definitions, once.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) lanes: Vec<LanePlan>,
    pub(crate) feeds: Vec<FeedPlan>,
    pub(crate) agendas: Vec<AgendaPlan>,
    /// One for each of `definitions.checks`.
    pub(crate) checks: Vec<CheckPlan>,
    /// Each baseline on each agenda that reads it.
    pub(crate) lessons: Vec<Lesson>,
    /// For each stream, what its instances make.
    pub(crate) templates: Vec<Vec<Template>>,
}

/// Something that a stream's instances make one each of.
#[derive(Debug)]
pub(crate) struct Template {
    /// The name as it is written, with its placeholders.
    pub(crate) definition: Element,
    pub(crate) kind: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) propagation: Propagation,
}

/// One stream, cut one way: what a sample is put into.
#[derive(Debug)]
pub(crate) struct LanePlan {
    pub(crate) stream: usize,
    pub(crate) source: usize,
    pub(crate) window: Option<Window>,
    /// None where events come one by one.
    pub(crate) cut: Option<Cut>,
    pub(crate) needs: Needs,
    pub(crate) fingerprint: u64,
}

/// Which summaries a pane keeps beside the count and the last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) events: bool,
    pub(crate) sum: bool,
    pub(crate) extremes: bool,
    pub(crate) values: bool,
    pub(crate) samples: bool,
}

/// A lane as one agenda reads it.
#[derive(Debug)]
pub(crate) struct FeedPlan {
    pub(crate) agenda: usize,
    pub(crate) lane: usize,
    /// What any input wants of it, each once.
    pub(crate) downsample: Vec<Downsampling>,
    /// How many points inputs may look back on; 0 where each is used only when it closes.
    pub(crate) keep: usize,
    /// Whether a check runs or a baseline learns when its windows close.
    pub(crate) is_read: bool,
    /// Whether an input looks back on the newest window's events.
    pub(crate) keep_events: bool,
    /// Which lessons its points teach, by their places in `Plan::lessons`.
    pub(crate) lessons: Vec<usize>,
    /// What its points are published as, by place in `Definitions::publications`, with the places of what is published
    /// in `downsample`.
    pub(crate) publications: Vec<(usize, Vec<usize>)>,
    pub(crate) fingerprint: u64,
}

/// A set of sources with one clock.
#[derive(Debug)]
pub(crate) struct AgendaPlan {
    /// Places in `definitions.sources`, by name.
    pub(crate) sources: Vec<usize>,
    /// Their names, sorted.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) feeds: Vec<usize>,
}

/// How a check's function gets its arguments, and what makes it run.
#[derive(Debug)]
pub(crate) struct CheckPlan {
    pub(crate) agenda: usize,
    /// One for each argument.
    pub(crate) arguments: Vec<ArgumentPlan>,
    /// The argument whose windows or events make it run.
    pub(crate) trigger: usize,
    /// The feed of that argument.
    pub(crate) feed: usize,
    /// How long past its due time the trigger's point may stay away; none where it is never missing.
    pub(crate) trigger_deadline: Option<Span>,
    /// How many results are kept.
    pub(crate) results: usize,
}

/// How one argument is made.
#[derive(Debug)]
pub(crate) enum ArgumentPlan {
    Value(Value),
    /// A label's value, read as this kind.
    Label(Arc<str>, ParameterKind),
    Input(InputPlan),
}

/// How an input is looked up.
#[derive(Debug)]
pub(crate) struct InputPlan {
    pub(crate) feed: usize,
    /// For each of `downsample`, its place in the feed's.
    pub(crate) picks: Vec<usize>,
    pub(crate) downsample: Arc<[Downsampling]>,
    pub(crate) shape: Shape,
    /// How long past its due time the point may stay away.
    pub(crate) deadline: Span,
    /// Its baseline's place among the feed's lessons.
    pub(crate) lesson: Option<usize>,
}

impl FeedPlan {
    /// Whether nothing but the times of last samples changes with each window, so that one column keeps them.
    pub(crate) fn keeps_column(&self, plan: &Plan) -> bool {
        plan.lanes[self.lane].cut.is_some() && self.keep == 0 && !self.keep_events
    }
}

impl Plan {
    /// Works the plan out. The definitions are valid and the library has their functions.
    pub(crate) fn new(definitions: Arc<Definitions>, library: &Library) -> Plan {
        let mut plan = Plan {
            definitions: definitions.clone(),
            lanes: Vec::new(),
            feeds: Vec::new(),
            agendas: Vec::new(),
            checks: Vec::new(),
            lessons: Vec::new(),
            templates: templates(&definitions),
        };
        for check in &definitions.checks {
            let check = plan.check(check, library);
            plan.checks.push(check);
        }
        // What no check reads is learned all the same, for those who ask.
        for (baseline, of) in definitions.baselines.iter().enumerate() {
            if !plan.lessons.iter().any(|lesson| lesson.baseline == baseline) {
                let agenda = plan.agenda(&[definitions.streams[of.stream].source]);
                let feed = plan.feed(agenda, of.stream, Some(&of.window), &[of.downsample], Shape::Point, false);
                plan.lesson(baseline, feed);
            }
        }
        for (publication, of) in definitions.publications.iter().enumerate() {
            let agenda = plan.agenda(&[definitions.streams[of.stream].source]);
            // Only what closes is published: no point needs to be kept for it.
            let feed = plan.feed(agenda, of.stream, Some(&of.window), &of.downsample, Shape::Point, true);
            let feed = &mut plan.feeds[feed];
            let picks = of.downsample.iter().filter_map(|wanted| feed.downsample.iter().position(|of| of == wanted));
            feed.publications.push((publication, picks.collect()));
        }
        // A template's stream is followed even where no check reads it on its own.
        let followed = (0..definitions.streams.len()).filter(|stream| !plan.templates[*stream].is_empty());
        for stream in followed.collect::<Vec<_>>() {
            let agenda = plan.agenda(&[definitions.streams[stream].source]);
            let read = |feed: &usize| plan.lanes[plan.feeds[*feed].lane].stream == stream;
            if !plan.agendas[agenda].feeds.iter().any(read) {
                let window = Window::Batching { size: Span::from_secs(10), zone: "UTC".into() };
                plan.feed(agenda, stream, Some(&window), &[Downsampling::Count], Shape::Point, true);
            }
        }
        plan.finish();
        plan
    }

    fn check(&mut self, check: &CheckDefinition, library: &Library) -> CheckPlan {
        let inputs: Vec<&Input> = check.arguments.iter().filter_map(|(_, argument)| input(argument)).collect();
        let sources: Vec<usize> = inputs.iter().map(|input| self.definitions.streams[input.stream].source).collect();
        let agenda = self.agenda(&sources);
        let trigger = check
            .arguments
            .iter()
            .position(|(_, argument)| input(argument).is_some_and(sets_the_pace))
            .or_else(|| check.arguments.iter().position(|(_, argument)| input(argument).is_some()))
            .expect("validated checks have an input");
        let function = library.function(&check.function).expect("validated checks have their function");
        let arguments: Vec<ArgumentPlan> = (check.arguments.iter().zip(&function.parameters).enumerate())
            .map(|(place, ((_, argument), parameter))| match argument {
                Argument::Value(value) => ArgumentPlan::Value(value.clone()),
                Argument::Label(label) => ArgumentPlan::Label(label.clone(), parameter.kind.clone()),
                Argument::Input(input) => ArgumentPlan::Input(self.input(agenda, check, input, place == trigger)),
            })
            .collect();
        let ArgumentPlan::Input(first) = &arguments[trigger] else { unreachable!("the trigger is an input") };
        let counts = first.shape != Shape::Events && first.downsample.iter().all(|of| *of == Downsampling::Count);
        let windowed = self.lanes[self.feeds[first.feed].lane].cut.is_some();
        let always = windowed && (counts || first.shape == Shape::Events);
        let trigger_deadline =
            if always || (!windowed && check.missing_after.is_none()) { None } else { Some(first.deadline) };
        let results = check.trigger.of.max(check.recover.of) as usize;
        CheckPlan { agenda, trigger, feed: first.feed, arguments, trigger_deadline, results }
    }

    fn input(&mut self, agenda: usize, check: &CheckDefinition, input: &Input, trigger: bool) -> InputPlan {
        let feed = self.feed(agenda, input.stream, input.window.as_ref(), &input.downsample, input.shape, trigger);
        let of_feed = &self.feeds[feed].downsample;
        let picks = (input.downsample.iter())
            .map(|wanted| of_feed.iter().position(|of| of == wanted).expect("the feed has what its inputs want"))
            .collect();
        let slide = self.lanes[self.feeds[feed].lane].cut.as_ref().map(Cut::slide);
        let usual = slide.map(|slide| slide.times(2).max(Span::from_secs(60)));
        let deadline = check.missing_after.or(usual).unwrap_or_default();
        let lesson = input.baseline.map(|baseline| self.lesson(baseline, feed));
        InputPlan { feed, picks, downsample: input.downsample.clone(), shape: input.shape, deadline, lesson }
    }

    /// The place among a feed's lessons of what it teaches this baseline.
    fn lesson(&mut self, baseline: usize, feed: usize) -> usize {
        let known = self.feeds[feed].lessons.iter().position(|lesson| self.lessons[*lesson].baseline == baseline);
        known.unwrap_or_else(|| {
            let definition = &self.definitions.baselines[baseline];
            let of = &mut self.feeds[feed];
            let pick = of.downsample.iter().position(|of| *of == definition.downsample);
            let pick = pick.expect("a baseline's inputs have its downsampling");
            of.lessons.push(self.lessons.len());
            self.lessons.push(Lesson::new(&self.definitions, baseline, feed, pick));
            of.lessons.len() - 1
        })
    }

    /// The agenda of these sources, made where there is none.
    fn agenda(&mut self, sources: &[usize]) -> usize {
        let mut sources = sources.to_vec();
        sources.sort_by(|a, b| self.definitions.sources[*a].name.cmp(&self.definitions.sources[*b].name));
        sources.dedup();
        if let Some(place) = self.agendas.iter().position(|agenda| agenda.sources == sources) {
            return place;
        }
        let names = sources.iter().map(|source| self.definitions.sources[*source].name.clone()).collect();
        self.agendas.push(AgendaPlan { sources, names, feeds: Vec::new() });
        self.agendas.len() - 1
    }

    /// The feed of this stream and window on this agenda, widened by what one more input wants.
    fn feed(
        &mut self,
        agenda: usize,
        stream: usize,
        window: Option<&Window>,
        downsample: &[Downsampling],
        shape: Shape,
        trigger: bool,
    ) -> usize {
        let lane = self.lane(stream, window);
        let place = self.agendas[agenda].feeds.iter().copied().find(|feed| self.feeds[*feed].lane == lane);
        let place = place.unwrap_or_else(|| {
            self.feeds.push(FeedPlan {
                agenda,
                lane,
                downsample: Vec::new(),
                keep: 0,
                is_read: false,
                keep_events: false,
                lessons: Vec::new(),
                publications: Vec::new(),
                fingerprint: 0,
            });
            self.agendas[agenda].feeds.push(self.feeds.len() - 1);
            self.feeds.len() - 1
        });
        let feed = &mut self.feeds[place];
        for of in downsample {
            if !feed.downsample.contains(of) {
                feed.downsample.push(*of);
            }
            let needs = &mut self.lanes[lane].needs;
            match of {
                Downsampling::Average | Downsampling::Sum => needs.sum = true,
                Downsampling::Minimum | Downsampling::Maximum => needs.extremes = true,
                Downsampling::Rate => needs.samples = true,
                Downsampling::Percentile(_) => (needs.values, needs.extremes) = (true, true),
                Downsampling::Count | Downsampling::Last => {}
            }
        }
        match shape {
            Shape::Series(points) => feed.keep = feed.keep.max(points),
            Shape::Events => feed.keep_events |= !trigger && window.is_some(),
            Shape::List | Shape::Table => feed.keep = feed.keep.max(1),
            Shape::Point if !trigger => feed.keep = feed.keep.max(1),
            Shape::Point => {}
        }
        place
    }

    fn lane(&mut self, stream: usize, window: Option<&Window>) -> usize {
        if let Some(place) = self.lanes.iter().position(|lane| lane.stream == stream && lane.window.as_ref() == window)
        {
            return place;
        }
        let definition = &self.definitions.streams[stream];
        self.lanes.push(LanePlan {
            stream,
            source: definition.source,
            window: window.cloned(),
            cut: window.map(Cut::new),
            needs: Needs { events: definition.content == Content::Events, ..Needs::default() },
            fingerprint: 0,
        });
        self.lanes.len() - 1
    }

    /// Fingerprints, once all needs are known, and one order for all that depends on order.
    fn finish(&mut self) {
        for lane in &mut self.lanes {
            let stream = &self.definitions.streams[lane.stream];
            let source = &self.definitions.sources[lane.source];
            lane.fingerprint = fingerprint(&format!(
                "{} {} {:?} {:?} {:?} {:?} {:?}",
                source.name, source.mapping, stream.select, stream.each, stream.content, lane.window, lane.needs
            ));
        }
        for check in &self.checks {
            self.feeds[check.feed].is_read = true;
        }
        for feed in &mut self.feeds {
            feed.is_read |= !feed.lessons.is_empty();
            let agenda = &self.agendas[feed.agenda].names;
            feed.fingerprint =
                fingerprint(&format!("{} {agenda:?} {:?}", self.lanes[feed.lane].fingerprint, feed.downsample));
        }
    }
}

fn templates(definitions: &Definitions) -> Vec<Vec<Template>> {
    let mut templates: Vec<Vec<Template>> = definitions.streams.iter().map(|_| Vec::new()).collect();
    for of in &definitions.components {
        if let Some(stream) = of.for_each {
            let (definition, kind) = (Element::component(of.name.clone()), of.kind.clone());
            let (labels, propagation) = (of.labels.clone(), of.propagation.clone());
            templates[stream].push(Template { definition, kind, labels, propagation });
        }
    }
    for of in &definitions.relations {
        if let Some(stream) = of.for_each {
            let (definition, kind) = (Element::relation(of.from.clone(), of.to.clone()), of.kind.clone());
            let (labels, propagation) = (of.labels.clone(), of.propagation.clone());
            templates[stream].push(Template { definition, kind, labels, propagation });
        }
    }
    templates
}

/// Whether a check may run when this input's windows close: not for a list or a table, which is many instances'.
fn sets_the_pace(input: &Input) -> bool {
    input.window.is_some() && !matches!(input.shape, Shape::List | Shape::Table)
}

fn input(argument: &Argument) -> Option<&Input> {
    match argument {
        Argument::Input(input) => Some(input),
        _ => None,
    }
}

/// The first 64 bits of SHA-256.
pub(crate) fn fingerprint(text: &str) -> u64 {
    u64::from_be_bytes(Sha256::digest(text.as_bytes())[..8].try_into().expect("eight bytes"))
}
