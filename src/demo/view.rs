//! The demo's live terminal view, drawn in place on standard error.

use std::io::Stderr;

use haggle_strategies::CampaignState;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Gauge, Paragraph, Row, Table};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::summary::Summary;

/// What one drawing shows.
pub struct Picture<'a> {
    /// The counts.
    pub summary: &'a Summary,
    /// Per campaign: pacing multiplier and state.
    pub pacing: Vec<(f64, CampaignState)>,
    /// The campaign day's clock, `HH:MM`.
    pub time: String,
    /// How much of the run is over, in 0..=1.
    pub progress: f64,
    /// Where to look at the metrics.
    pub metrics_url: &'a str,
}

/// The part of the terminal that is drawn on.
pub struct View {
    terminal: Terminal<CrosstermBackend<Stderr>>,
}

impl View {
    /// Takes as many lines of the terminal as the campaigns need.
    pub fn new(campaigns: usize) -> std::io::Result<Self> {
        let height = u16::try_from(campaigns + 8).unwrap_or(u16::MAX);
        let options = TerminalOptions { viewport: Viewport::Inline(height) };
        let terminal = Terminal::with_options(CrosstermBackend::new(std::io::stderr()), options)?;
        Ok(Self { terminal })
    }

    /// Draws.
    pub fn draw(&mut self, picture: &Picture<'_>) -> std::io::Result<()> {
        self.terminal.draw(|frame| draw(frame, picture)).map(|_| ())
    }

    /// Gives the lines back, blank, for what is printed next.
    pub fn close(mut self) -> std::io::Result<()> {
        let top = self.terminal.get_frame().area().as_position();
        self.terminal.clear()?;
        self.terminal.set_cursor_position(top)
    }
}

fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let summary = picture.summary;
    let campaigns = u16::try_from(summary.campaigns.len() + 1).unwrap_or(u16::MAX);
    let [head, table, gap, model, traffic, latency, address] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(campaigns),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let label = format!("campaign day {}", picture.time);
    frame.render_widget(
        Gauge::default()
            .ratio(picture.progress.clamp(0.0, 1.0))
            .label(label)
            .gauge_style(Style::default().fg(Color::Blue).bg(Color::Black)),
        head,
    );
    frame.render_widget(campaign_table(picture), table);
    frame.render_widget(Paragraph::new(""), gap);
    let text = |line: String| Paragraph::new(Line::from(line));
    frame.render_widget(
        text(format!(
            "model    log loss {:.5}, constant rate {:.5}, {} examples",
            summary.model.log_loss, summary.model.baseline_log_loss, summary.model.examples
        )),
        model,
    );
    frame.render_widget(
        text(format!(
            "traffic  {} requests, {} bids, {} wins, {} clicks, {} orders, {} errors",
            summary.requests, summary.bids, summary.wins, summary.clicks, summary.conversions, summary.errors
        )),
        traffic,
    );
    frame.render_widget(
        text(format!(
            "latency  p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
            summary.latency_ms.p50, summary.latency_ms.p99, summary.latency_ms.p999
        )),
        latency,
    );
    frame.render_widget(text(format!("metrics  {}", picture.metrics_url)), address);
}

fn campaign_table<'a>(picture: &Picture<'a>) -> Table<'a> {
    let header =
        ["campaign", "spent", "of budget", "pace", "bids", "wins", "clicks", "orders", "CTR", "ROAS", ""];
    let rows =
        picture.summary.campaigns.iter().zip(&picture.pacing).map(|(campaign, (multiplier, state))| {
            let (spent, budget) = (campaign.spend_micros.to_f64(), campaign.budget_micros.to_f64());
            let share = if budget > 0.0 { spent / budget } else { 0.0 };
            let filled = (share * 12.0).round().clamp(0.0, 12.0) as usize;
            let (word, color) = match state {
                CampaignState::Active => ("bidding", Color::Green),
                CampaignState::Paced => ("waiting", Color::Yellow),
                CampaignState::Exhausted => ("spent", Color::Magenta),
                CampaignState::Paused => ("paused", Color::Yellow),
                CampaignState::Down => ("down", Color::Red),
            };
            let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
            Row::new([
                Cell::from(campaign.id.clone()),
                Cell::from(format!("{}{}", "█".repeat(filled), "░".repeat(12 - filled))),
                Cell::from(format!("{spent:.2}/{budget:.2}")),
                Cell::from(format!("{multiplier:.2}")),
                Cell::from(campaign.bids.to_string()),
                Cell::from(campaign.wins.to_string()),
                Cell::from(campaign.clicks.to_string()),
                Cell::from(campaign.conversions.to_string()),
                Cell::from(format!(
                    "{:.1}%",
                    100.0 * ratio(campaign.clicks as f64, campaign.impressions as f64)
                )),
                Cell::from(format!("{:.1}", ratio(campaign.revenue_micros.to_f64(), spent))),
                Cell::from(word).style(Style::default().fg(color)),
            ])
        });
    let widths = [18, 12, 12, 5, 7, 6, 6, 6, 6, 6, 8].map(Constraint::Length);
    Table::new(rows, widths).header(Row::new(header).style(Style::default().add_modifier(Modifier::BOLD)))
}

#[cfg(test)]
mod tests {
    use haggle_domain::Micros;
    use ratatui::backend::TestBackend;

    use super::super::summary::{CampaignSummary, ModelSummary};
    use super::super::tally::Latency;
    use super::*;

    #[test]
    fn shows_each_campaigns_money_and_the_models_loss() {
        let summary = Summary {
            requests: 1000,
            imps: 1000,
            bids: 400,
            no_bids: Default::default(),
            wins: 120,
            impressions: 115,
            clicks: 5,
            conversions: 1,
            latency_ms: Latency { p50: 0.31, p99: 1.2, p999: 2.5, max: 4.0 },
            campaigns: vec![CampaignSummary {
                id: "trail-boots".into(),
                budget_micros: Micros::from_units(12),
                spend_micros: Micros::from_units(3),
                reserved_micros: Micros::ZERO,
                bids: 400,
                wins: 120,
                impressions: 115,
                clicks: 5,
                conversions: 1,
                revenue_micros: Micros::from_units(60),
                restarts: 0,
            }],
            model: ModelSummary { examples: 115, log_loss: 0.12345, baseline_log_loss: 0.15 },
            errors: 0,
            notice_retries: 0,
            unsent: 0,
            seed: 7,
        };
        let picture = Picture {
            summary: &summary,
            pacing: vec![(0.75, CampaignState::Active)],
            time: "08:30".into(),
            progress: 0.35,
            metrics_url: "http://127.0.0.1:9090/metrics",
        };
        let mut terminal = Terminal::new(TestBackend::new(110, 9)).unwrap();
        terminal.draw(|frame| draw(frame, &picture)).unwrap();
        let screen = terminal.backend().to_string();
        for shown in [
            "campaign day 08:30",
            "trail-boots        ███░░░░░░░░░ 3.00/12.00   0.75  400     120    5      1      4.3%   20.0   bidding",
            "log loss 0.12345, constant rate 0.15000, 115 examples",
            "p50 0.31 ms, p99 1.20 ms",
            "http://127.0.0.1:9090/metrics",
        ] {
            assert!(screen.contains(shown), "{shown:?} is not in\n{screen}");
        }
    }
}
