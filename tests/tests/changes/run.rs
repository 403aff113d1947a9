//! Tenants side by side, one for each change: all are changed together, wait together, and are set back together, so
//! that a wait is paid once for many. One that stands again exactly as before takes the next change, too: what costs most
//! is to make a tenant.

use std::collections::BTreeMap;
use std::time::Instant;

use yunting_tests::mutations::{Mutation, may_become};
use yunting_tests::plane::dump::{Line, lines};

use super::choice::{Chosen, chosen};
use super::judge;
use super::stage::{Plan, Stage, View};
use super::tenant::Tenant;
use super::{base, leaving, refusals, site, waits};

/// Changes side by side in the long form.
const TOGETHER: usize = 24;
/// Rounds on one pair of control planes; what the fresh tenants leave would make the next ones slow.
const ROUNDS: usize = 5;
/// Looks at what differs: a controller of Kubernetes may be slower than the quiet that is waited for.
const LOOKS: usize = 3;

/// What was wrong, by the kind that was changed.
pub type Wrong = BTreeMap<&'static str, Vec<String>>;

/// Makes the changes of this run.
pub fn run(plan: Plan) -> anyhow::Result<Wrong> {
    let began = Instant::now();
    let mut all = Chosen::default();
    for kind in base::KINDS {
        let Chosen { mut taken, mut refused } = chosen(plan, kind);
        all.taken.append(&mut taken);
        all.refused.append(&mut refused);
    }
    let sites = chosen(plan, "Site");
    println!(
        "{} changes are made, {} are to be refused; {:?} for the choice",
        all.taken.len() + sites.taken.len(),
        all.refused.len() + sites.refused.len(),
        began.elapsed()
    );
    all.refused.extend(sites.refused);
    // Changes of the site wait more than they compute: in the long form they are made beside the others, in a world of
    // their own.
    let mut wrong = std::thread::scope(|scope| {
        let beside = plan.full.then(|| scope.spawn(|| of_site(plan, &sites.taken)));
        let mut wrong = tenants(plan, all, if plan.full { &[] } else { &sites.taken })?;
        if let Some(beside) = beside {
            let of_site =
                beside.join().map_err(|_| anyhow::anyhow!("the changes of the site panicked"))??;
            wrong.extend(of_site);
        }
        anyhow::Ok(wrong)
    })?;
    println!("all took {:?}", began.elapsed());
    wrong.retain(|_, all| !all.is_empty());
    Ok(wrong)
}

fn of_site(plan: Plan, changes: &[Mutation]) -> anyhow::Result<Wrong> {
    let (mut stage, mut wrong) = (Stage::start(plan)?, Wrong::new());
    site::run(plan, &mut stage, changes, &mut wrong)?;
    Ok(wrong)
}

/// Everything in one world: those changes of the site, who waits, and round after round of tenants.
fn tenants(plan: Plan, all: Chosen, of_site: &[Mutation]) -> anyhow::Result<Wrong> {
    let (began, mut wrong) = (Instant::now(), Wrong::new());
    let Chosen { taken, mut refused } = all;
    let mut stage = Stage::start(plan)?;
    site::run(plan, &mut stage, of_site, &mut wrong)?;
    stage.runtime.block_on(waits::run(&stage, &mut wrong))?;
    println!("who waits was served after {:?}", began.elapsed());
    let together = if plan.full { TOGETHER } else { taken.len().max(1) };
    let mut course = Course { wrong, ..Course::default() };
    for (index, some) in taken.chunks(together).enumerate() {
        if index > 0 && index % ROUNDS == 0 {
            drop(stage);
            stage = Stage::start(plan)?;
            course.as_new.clear();
        }
        let refused = std::mem::take(&mut refused);
        stage.runtime.block_on(round(&stage, some, &refused, &mut course))?;
        println!("{} after {:?}", course.told(), began.elapsed());
    }
    Ok(course.wrong)
}

/// What goes from round to round.
#[derive(Default)]
struct Course {
    wrong: Wrong,
    /// Tenants that stand as new ones would.
    as_new: Vec<Tenant>,
    made: usize,
    refused: usize,
    reused: usize,
}

impl Course {
    fn told(&self) -> String {
        let wrong: usize = self.wrong.values().map(Vec::len).sum();
        format!(
            "{} changes were made: {} carried out whole, {} not at all, as they say; {} tenants took more than one; {wrong} findings",
            self.made,
            self.made - self.refused,
            self.refused,
            self.reused
        )
    }

    /// Tenants that nobody has changed, or that stand again as if nobody had.
    async fn unchanged(&mut self, stage: &Stage, silent: &[bool]) -> anyhow::Result<Vec<Tenant>> {
        let mut slots: Vec<Option<Tenant>> = Vec::new();
        for wanted in silent {
            let found = self.as_new.iter().position(|t| t.is_silent() == *wanted);
            slots.push(found.map(|at| self.as_new.swap_remove(at)));
        }
        self.reused += slots.iter().flatten().count();
        let missing: Vec<bool> =
            slots.iter().zip(silent).filter(|(slot, _)| slot.is_none()).map(|(_, silent)| *silent).collect();
        let mut made = stage.tenants(&vec![None; missing.len()], &missing).await.into_iter();
        let one = |slot: Option<Tenant>| match slot {
            Some(tenant) => Ok(tenant),
            None => made.next().unwrap_or_else(|| Err(anyhow::anyhow!("too few tenants were made"))),
        };
        slots.into_iter().map(one).collect()
    }
}

/// One change and its tenants.
struct Case<'a> {
    mutation: &'a Mutation,
    one: &'a Tenant,
    base: &'a View,
    fresh: Tenant,
}

async fn round(
    stage: &Stage,
    some: &[Mutation],
    refused: &[Mutation],
    course: &mut Course,
) -> anyhow::Result<()> {
    let began = Instant::now();
    // The last one is changed by nobody, and asked for what is refused.
    let silent: Vec<bool> = some.iter().map(|m| m.kind == "VdcTemplate").chain([false]).collect();
    let ones = course.unchanged(stage, &silent).await?;
    stage.settled().await?;
    let bases = alike(stage, &ones, &silent).await?;
    println!("{} tenants stand after {:?}", ones.len(), began.elapsed());
    let still = &ones[some.len()];
    let mut wrongly = Wrong::new();
    refusals::ask(stage, still, refused, &mut wrongly).await?;
    for (kind, all) in wrongly {
        for one in &all {
            println!("{one}");
        }
        course.wrong.entry(kind).or_default().extend(all);
    }
    let cases = change(stage, some, &ones, &bases, &mut course.wrong).await?;
    stage.settled().await?;
    println!("all is changed after {:?}", began.elapsed());
    let all: Vec<&Case<'_>> = cases.iter().collect();
    let last = look(stage, &all, judge_changed).await?;
    course.made += last.len();
    course.refused += last.iter().filter(|seen| seen.refused).count();
    tell(last, "after the change, against one made so", &mut course.wrong);
    println!("the changes are judged after {:?}", began.elapsed());
    let returned = set_back(stage, &cases, &mut course.wrong).await?;
    stage.settled().await?;
    let last = look(stage, &returned, judge_back).await?;
    tell(last, "after it was set back", &mut course.wrong);
    let now = stage.views(&ones.iter().collect::<Vec<_>>()).await?;
    let differ = |index: usize| lines(&bases[index].dump, &now[index].dump);
    let moved: Vec<String> = differ(some.len()).into_iter().map(|l| l.text).collect();
    if !moved.is_empty() {
        let text = format!("a tenant that nobody changed:\n{}", moved.join("\n"));
        course.wrong.entry("").or_default().push(text);
    }
    let unmoved: Vec<bool> = (0..ones.len()).map(|index| differ(index).is_empty()).collect();
    course.as_new.extend(ones.into_iter().zip(unmoved).filter(|(_, unmoved)| *unmoved).map(|(one, _)| one));
    Ok(())
}

/// Sets each field back. Not every way leads back: a volume only grows; that is said, and foretold.
async fn set_back<'a>(
    stage: &Stage,
    cases: &'a [Case<'a>],
    wrong: &mut Wrong,
) -> anyhow::Result<Vec<&'a Case<'a>>> {
    let mut returned = Vec::new();
    for case in cases {
        let Mutation { kind, spec, what, .. } = case.mutation;
        let before = case.one.spec(kind);
        let Err(refusal) = case.one.put(&stage.planes, kind, &before).await? else {
            returned.push(case);
            continue;
        };
        let found = wrong.entry(case.mutation.kind).or_default();
        if may_become(kind, &base::object(kind), spec, &before) {
            found.push(format!("{what}: cannot be set back: {}", refusal.0));
        }
        found.extend(refusals::silent(case.mutation, &refusal));
    }
    Ok(returned)
}

/// How tenants stand that are the same; a difference would be one of chance, not of a change.
async fn alike(stage: &Stage, ones: &[Tenant], silent: &[bool]) -> anyhow::Result<Vec<View>> {
    let views = stage.views(&ones.iter().collect::<Vec<_>>()).await?;
    for (index, view) in views.iter().enumerate() {
        let first = silent.iter().position(|s| *s == silent[index]).unwrap_or(index);
        let other = lines(&views[first].dump, &view.dump);
        anyhow::ensure!(other.is_empty(), "two tenants that are the same differ:\n{}", text(&other));
        anyhow::ensure!(view.silent.is_empty(), "a tenant that nobody changed: {}", view.silent.join("; "));
        anyhow::ensure!(
            view.dump.len() > 40,
            "a tenant has {} objects only:\n{:?}",
            view.dump.len(),
            view.dump.keys()
        );
    }
    Ok(views)
}

/// Changes each tenant, and makes another that is so at once. What the API server refuses after all is judged as that.
async fn change<'a>(
    stage: &Stage,
    some: &'a [Mutation],
    ones: &'a [Tenant],
    bases: &'a [View],
    wrong: &mut Wrong,
) -> anyhow::Result<Vec<Case<'a>>> {
    let mut taken = Vec::new();
    for ((mutation, one), base) in some.iter().zip(ones).zip(bases) {
        match one.put(&stage.planes, mutation.kind, &mutation.spec).await? {
            Ok(()) => taken.push((mutation, one, base)),
            Err(refusal) => {
                let silent = refusals::silent(mutation, &refusal);
                wrong.entry(mutation.kind).or_default().extend(silent);
            }
        }
    }
    let changes: Vec<Option<&Mutation>> = taken.iter().map(|(m, ..)| Some(*m)).collect();
    let silent: Vec<bool> = taken.iter().map(|(m, ..)| m.kind == "VdcTemplate").collect();
    let fresh = stage.tenants(&changes, &silent).await;
    let mut cases = Vec::new();
    for ((mutation, one, base), fresh) in taken.into_iter().zip(fresh) {
        match fresh {
            Ok(fresh) => cases.push(Case { mutation, one, base, fresh }),
            Err(error) => {
                let text = format!("{}: none can be made so: {error:#}", mutation.what);
                wrong.entry(mutation.kind).or_default().push(text);
            }
        }
    }
    Ok(cases)
}

/// How a case was seen.
struct Seen<'a> {
    mutation: &'a Mutation,
    wrong: Vec<String>,
    /// It is not carried out, and says so.
    refused: bool,
}

type Judge = fn(&Case<'_>, &View, &View) -> Vec<String>;

fn judge_changed(case: &Case<'_>, one: &View, fresh: &View) -> Vec<String> {
    let all = judge::changed(case.mutation, &case.base.dump, &one.dump, &fresh.dump);
    all.into_iter()
        .map(|l| l.text)
        .chain(nothing_goes(case, fresh))
        .chain(one.silent.iter().cloned())
        .chain(fresh.silent.iter().cloned())
        .collect()
}

/// A change that is to take something away and does not would say nothing of removals.
fn nothing_goes(case: &Case<'_>, fresh: &View) -> Option<String> {
    let planned = leaving::leaving(case.mutation.kind, &case.mutation.spec);
    let stays = case.base.dump.keys().all(|key| fresh.dump.contains_key(key));
    (stays && !planned.is_empty())
        .then(|| format!("nothing goes in one made so, though the plan says {planned:?}"))
}

fn judge_back(case: &Case<'_>, one: &View, _: &View) -> Vec<String> {
    let all = judge::back(case.mutation, &case.base.dump, &one.dump);
    all.into_iter().map(|l| l.text).chain(one.silent.iter().cloned()).collect()
}

/// What is wrong with each case, when it stays so.
async fn look<'a>(stage: &Stage, cases: &[&'a Case<'a>], judge: Judge) -> anyhow::Result<Vec<Seen<'a>>> {
    let tenants: Vec<&Tenant> = cases.iter().flat_map(|c| [c.one, &c.fresh]).collect();
    let mut last = Vec::new();
    for turn in 0..LOOKS {
        if turn > 0 {
            stage.settled().await?;
        }
        let views = stage.views(&tenants).await?;
        let pairs = cases.iter().zip(views.chunks(2));
        let seen = |(case, pair): (&&'a Case<'a>, &[View])| Seen {
            mutation: case.mutation,
            wrong: judge(case, &pair[0], &pair[1]),
            refused: judge::stays(&pair[1].dump),
        };
        last = pairs.map(seen).collect();
        if last.iter().all(|seen: &Seen<'_>| seen.wrong.is_empty()) {
            break;
        }
    }
    Ok(last)
}

fn tell(last: Vec<Seen<'_>>, when: &str, wrong: &mut Wrong) {
    for Seen { mutation, wrong: all, .. } in last.into_iter().filter(|seen| !seen.wrong.is_empty()) {
        let text = format!("{} ({when}):\n  {}", mutation.what, all.join("\n  "));
        println!("{text}");
        wrong.entry(mutation.kind).or_default().push(text);
    }
}

fn text(all: &[Line]) -> String {
    all.iter().map(|l| l.text.as_str()).collect::<Vec<_>>().join("\n")
}
