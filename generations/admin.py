"""Django's admin, for people and teams until Dailies' own pages for them. Money and work are not edited here."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import ReadOnlyPasswordHashField
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from generations import audit
from generations.models import LedgerEntry, Membership, Team, User
from generations.views.gate import origin


class Recorded(admin.ModelAdmin):
    """What is done here is in the audit trail, too."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record(request, "added", obj, "")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        entry = LogEntry(change_message=message if isinstance(message, str) else json.dumps(message))
        self._record(request, "changed", obj, entry.get_change_message())
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(request, "deleted", obj, "")
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, done: str, obj: Model, said: str) -> None:
        team = obj if isinstance(obj, Team) and done != "deleted" else None
        words = f"{str(self.opts.verbose_name).capitalize()} {obj}, in Django’s admin. {said}".strip()
        audit.record(
            User.objects.get(pk=request.user.pk or 0), f"admin_site.{done}", words, team=team, **origin(request)
        )


class NewPerson(forms.ModelForm):
    password = forms.CharField(widget=forms.PasswordInput, min_length=12)

    class Meta:
        model = User
        fields = ["email", "name", "is_staff"]

    def save(self, commit: bool = True) -> User:
        user = super().save(commit=False)
        user.email = user.email.lower()
        user.is_superuser = user.is_staff
        user.set_password(self.cleaned_data["password"])
        if commit:
            user.save()
        return user


class ChangedPerson(forms.ModelForm):
    password = ReadOnlyPasswordHashField(help_text='<a href="../password/">Change the password</a>.')

    class Meta:
        model = User
        fields = ["email", "name", "password", "is_active", "is_staff", "is_superuser"]


class Places(admin.TabularInline):
    model = Membership
    extra = 1


@admin.register(User)
class PersonAdmin(Recorded, UserAdmin):
    form = ChangedPerson
    add_form = NewPerson
    ordering = ["email"]
    list_display = ["email", "name", "is_staff", "is_active", "last_login"]
    search_fields = ["email", "name"]
    list_filter = ["is_staff", "is_active"]
    filter_horizontal = []
    fieldsets = [(None, {"fields": ["email", "name", "password", "is_active", "is_staff", "is_superuser"]})]
    add_fieldsets = [(None, {"fields": ["email", "name", "password", "is_staff"]})]
    inlines = [Places]


@admin.register(Team)
class TeamAdmin(Recorded):
    list_display = ["name", "created_at"]
    inlines = [Places]


@admin.register(LedgerEntry)
class LedgerAdmin(admin.ModelAdmin):
    """The books can be read, and nothing else."""

    list_display = ["at", "kind", "held", "spent", "user", "team", "generation", "why", "demo"]
    list_filter = ["kind", "demo", "team"]
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False
