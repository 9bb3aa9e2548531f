//! Operators' own reservations and volumes: checked, offers in the way rescinded, applied. Never those of frameworks
//! (`operations`).

use super::named_missing;
use crate::{Effect, Master, Tables as _, validate::operation as valid};
use base::{Effects, Now, Time};
use model::{
    mesos::offer::{Operation, operation::Type},
    request::{Answer, Http, RequestId},
    resources::{Conversion, Resources, unallocate, upgrade},
};

impl Master {
    /// An operator's operation: offers that stand in its way are taken back.
    pub(crate) fn operator_operation(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        agent_id: &str,
        mut operation: Operation,
        principal: Option<&str>,
        out: &mut Effects<Effect>,
    ) {
        operation.id = None;
        let answer = match self.check_operator_operation(agent_id, &mut operation, principal) {
            Err(answer) => answer,
            Ok(conversion) => {
                let at = now.time;
                if operation.r#type() == Type::Destroy {
                    // A shared volume is free however many were offered it.
                    self.rescind_offers_of(agent_id, &conversion.consumed, at, out);
                } else if !self.allocator.free_on(agent_id).contains(&conversion.consumed) {
                    self.rescind_for(agent_id, &conversion.consumed, at, out);
                }
                let Conversion { consumed, converted } = &conversion;
                let asked = operation.clone();
                if self.allocator.convert_free(agent_id, consumed, converted) {
                    self.apply(now.rng, None, agent_id, operation, &conversion, out);
                    Answer::accepted()
                } else {
                    let free = self.allocator.free_on(agent_id);
                    let consumed = named_missing(&asked, &free, consumed);
                    Answer::text(409, format!("{free} does not contain {consumed}"))
                }
            }
        };
        out.push(Http::Reply { request, answer });
    }

    pub(crate) fn check_operator_operation(
        &self,
        agent_id: &str,
        operation: &mut Operation,
        principal: Option<&str>,
    ) -> Result<Conversion, Answer> {
        let Some(agent) = self.agents.get(agent_id) else {
            return Err(Answer::text(400, "No agent found with specified ID"));
        };
        let kind = operation.r#type();
        let place = match kind {
            Type::Unreserve | Type::Destroy => String::new(),
            _ => format!(" on agent {agent}"),
        };
        let invalid = |why: String| {
            Answer::text(400, format!("Invalid {} operation{place}: {why}", kind.as_str_name()))
        };
        let refused = {
            let all = valid::resources_of(operation);
            Resources::from_messages(all.iter().map(|r| &**r)).err()
        };
        if let Some(refused) = refused {
            return Err(invalid(refused.to_string()));
        }
        for resource in valid::resources_of(operation) {
            upgrade(std::slice::from_mut(resource));
        }
        let capabilities = agent.abilities();
        let on = valid::OnAgent {
            capabilities: &capabilities,
            checkpointed: &agent.total.to_checkpoint(),
            used: &self.used_on(agent),
        };
        let asked = valid::Asked { framework: None, principal };
        if let Some(fault) = valid::operation(operation, asked, &on) {
            // Upstream names no agent for this one.
            if operation.r#type() == Type::Destroy {
                return Err(Answer::text(400, format!("Invalid DESTROY operation: {fault}")));
            }
            return Err(invalid(fault));
        }
        for resource in valid::resources_of(operation) {
            unallocate(std::slice::from_mut(resource));
        }
        Ok(valid::conversion(operation))
    }

    /// Takes offers back, one by one, until what is wanted is free.
    pub(crate) fn rescind_for(
        &mut self,
        agent_id: &str,
        wanted: &Resources,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let offers = self.agents.get(agent_id).map(|a| a.offers.clone()).unwrap_or_default();
        for id in offers {
            let short = wanted.difference(&self.allocator.free_on(agent_id));
            if short.is_empty() {
                break;
            }
            let helps = self.offers.get(&id).is_some_and(|o| short.difference(&o.resources) != short);
            if helps {
                self.rescind(&id, now, out);
            }
        }
    }
}
